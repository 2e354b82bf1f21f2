"""From texts and images of a domain folder to features, and on to a trained model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from conftest import ROOT, Compose
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from image_server import ImageServer, answer, dropped, in_turn, unmeasured
from missrec.app.build import build_experiment
from missrec.app.extract import build_trainer, extract, warn_of_unread_images
from missrec.app.model import build
from missrec.app.prepare import prepare
from missrec.app.train import train
from missrec.data.domain import ITEMS
from missrec.data.manifest import MANIFEST, write_manifest
from missrec.features.images.urls import ImagesFromUrls
from missrec.features.store import (
    TEXT_VIEW,
    ModalityFeatures,
    read_features,
    replace_modality,
)
from run_settings import as_run, prepare_data
from synthetic import SHARED_DATA
from tiny_clip import write_tiny_clip

RAW = SHARED_DATA / "amazon2018_raw"
IMAGES = RAW / "images_Gift_Cards"
ENCODERS = sorted(path.stem for path in (ROOT / "conf" / "encoder").glob("*.yaml"))

GIFT_CARDS = """
name: gift_cards
folders: ["${paths.data_dir}/gift_cards"]
made_on_first_use: false
sources: {}
"""

needs_gift_cards = pytest.mark.skipif(
    not IMAGES.is_dir(), reason=f"the raw Gift Cards and their images are not in {RAW}"
)


@pytest.fixture
def compose_extract(tmp_path: Path) -> Compose:
    """The door's own config, for `data=gift_cards` in `tmp_path/data`."""
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "conf" / "data" / "gift_cards.yaml").write_text(GIFT_CARDS)

    def composed(*overrides: str) -> DictConfig:
        always = [
            "show_progress=false",
            "trainer.accelerator=cpu",
            "num_workers=0",
            "batch_size=32",
        ]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return compose("extract", overrides=[*always, *places(tmp_path), *overrides])

    return composed


def places(tmp_path: Path) -> list[str]:
    return [
        f"hydra.searchpath=[{tmp_path / 'conf'}]",
        f"paths.data_dir={tmp_path / 'data'}",
        "data=gift_cards",
    ]


def one_epoch(gift_cards: Path) -> list[str]:
    return [*places(gift_cards.parents[1]), "model.embed_dim=8", "trainer.max_epochs=1"]


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Overrides that take a small CLIP."""
    folder = write_tiny_clip(tmp_path / "clip")
    return [f"encoder.model=local-dir:{folder}", "encoder.pretrained=null"]


@pytest.fixture
def gift_cards(tmp_path: Path) -> Path:
    """The domain folder of the raw Gift Cards, as the door makes it."""
    return prepared_category(tmp_path, "Gift_Cards")


def prepared_category(tmp_path: Path, category: str) -> Path:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(
            "prepare",
            overrides=[
                f"paths.data_dir={tmp_path / 'data'}",
                "data=amazon",
                f"data.category={category}",
                "data.name=gift_cards",
                "data.interactions=five_core",
                f"data.raw_dir={RAW}",
                f"data.sources.amazon.rejects.path={tmp_path / 'rejects.csv'}",
            ],
        )
    prepare(cfg)
    return tmp_path / "data" / "gift_cards"


def add_image_urls(folder: Path, url: str) -> None:
    """Gives every item a dead link first, then its image."""
    items = pl.read_parquet(folder / ITEMS)
    path = pl.format("{}/{}.jpg", pl.lit(url), "item_key")
    urls = pl.concat_list(pl.format("{}.dead", path), path)
    items.with_columns(image_urls=urls).write_parquet(folder / ITEMS)
    manifest = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, {key: manifest[key] for key in ("domain", "counts", "settings")})


@pytest.fixture
def server() -> Iterator[ImageServer]:
    """Serves the images of the Gift Cards, three of four after a failure or in an odd way."""
    busy = answer(status=429, headers={"Retry-After": "0"})
    with ImageServer().running() as running:
        for number, path in enumerate(sorted(IMAGES.glob("*.jpg"))):
            content = path.read_bytes()
            plain = answer(content)
            ways = (
                plain,
                in_turn(dropped(content), plain),
                in_turn(busy, plain),
                unmeasured(content),
            )
            running.answers[f"/{path.name}"] = ways[number % 4]
        yield running


@pytest.mark.slow
@needs_gift_cards
def test_gift_cards_from_folder_and_from_urls_to_a_trained_model(
    compose_extract: Compose,
    compose_tiny: Compose,
    tiny: list[str],
    gift_cards: Path,
    server: ImageServer,
) -> None:
    done = extract(compose_extract(*tiny, "images=folder", f"images.folder={IMAGES}"))
    image, text = done["gift_cards"]["image"], done["gift_cards"]["text"]
    assert (image.num_items, image.num_with, text.num_with) == (147, 114, 147)
    assert image.outcomes == {"no_image": 33, "ok": 114}
    assert 0 < text.outcomes["truncated"] < 147
    from_folder = read_features(gift_cards, ["text", "image"], num_items=147)

    add_image_urls(gift_cards, server.url)
    fetcher = ("allow_private_addresses=true", "first_wait_sec=0.01")
    urls = [*tiny, *(f"images.fetcher.{setting}" for setting in fetcher)]
    done = extract(compose_extract(*urls))
    assert done["gift_cards"]["image"].outcomes == {"not_found": 33, "ok": 114}
    from_urls = read_features(gift_cards, ["text", "image"], num_items=147)
    for modality in ("text", "image"):
        np.testing.assert_array_equal(from_urls[modality].values, from_folder[modality].values)
    assert from_urls["image"].values.dtype == np.float16
    num_requests = 147 + 33 + 114 + 29 + 28  # dead links, missing, there, dropped, busy
    assert len(server.requests) == num_requests

    done = extract(compose_extract(*urls))
    assert len(server.requests) == num_requests
    assert [row.num_encoded for row in done["gift_cards"].values()] == [0, 0]

    metrics = train(compose_tiny(*one_epoch(gift_cards), base=("experiment=scratch",)))
    assert 0 < metrics["test/recall@50"] <= 1


@pytest.mark.slow
@needs_gift_cards
def test_lsa_features_train_a_model_on_text_alone(
    compose_extract: Compose, compose_tiny: Compose, tmp_path: Path
) -> None:
    folder = prepared_category(tmp_path, "Magazine_Subscriptions")
    done = extract(compose_extract("encoder=lsa", "encoder.dim=32"))
    assert done["gift_cards"]["text"].outcomes == {"ok": 124}
    overrides = [*one_epoch(folder), "inputs=text"]
    metrics = train(compose_tiny(*overrides, base=("experiment=scratch",)))
    assert 0 < metrics["test/recall@50"] <= 1

    # A second view of the texts lies beside them, and a model that reads it finds it.
    views = compose_extract("encoder=lsa", "encoder.dim=32", "images=none", "text_view=word_drop")
    done = extract(views)["gift_cards"]
    assert (done["text"].num_encoded, done["text_view"].num_with) == (0, 124)
    stored = read_features(folder, ["text", TEXT_VIEW], num_items=124)
    differ = (stored[TEXT_VIEW].values != stored["text"].values).any(axis=1)
    assert differ.sum() > 62
    pretraining = ("model=unisrec", "model/pretraining@model=unisrec", "model.item_drop_share=0")
    read = (*pretraining, "inputs=text_with_view")
    cfg = compose_tiny(*one_epoch(folder), *read, base=("experiment=scratch",), run="view")
    second_views = build_experiment(as_run(cfg)).catalogue.second_views
    assert second_views is not None
    found = second_views.lookup(0, torch.tensor(stored[TEXT_VIEW].item_ids))
    np.testing.assert_array_equal(found.numpy(), stored[TEXT_VIEW].values.astype(np.float32))
    assert 0 < train(cfg)["test/recall@50"] <= 1


@needs_gift_cards
def test_a_feature_set_of_its_own_name_lies_beside_the_others(
    compose_extract: Compose, tmp_path: Path
) -> None:
    folder = prepared_category(tmp_path, "Magazine_Subscriptions")
    of_lsa = ("encoder=lsa", "images=none")
    extract(compose_extract(*of_lsa, "encoder.dim=32"))
    before = read_features(folder, ["text"], num_items=124)["text"].values.copy()
    narrow = compose_extract(*of_lsa, "encoder.dim=8", "feature_set=narrow")
    assert list(extract(narrow)["gift_cards"]) == ["text_narrow"]
    both = read_features(folder, ["text", "text_narrow"], num_items=124)
    np.testing.assert_array_equal(both["text"].values, before)
    assert both["text_narrow"].values.shape == (124, 8)
    assert extract(narrow)["gift_cards"]["text_narrow"].num_encoded == 0  # they are there


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["feature_set=a/b"], r"feature_set \(a/b\) must be letters, digits and underscores"),
        (["feature_set=3"], r"feature_set \(3\) must be letters"),
        (["feature_set=view"], "text_view is a second view of the texts"),
        (["feature_set=lsa", "text_view=word_drop"], "a second view is of the texts' own features"),
        (
            ["feature_set=lsa", "features.files={text: vectors.npy}"],
            "the latter names the features",
        ),
    ],
)
def test_a_feature_set_needs_a_name_that_nothing_else_has(
    compose_extract: Compose, overrides: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        extract(compose_extract(*overrides))


def test_a_second_view_that_is_missing_or_made_otherwise_is_refused(
    compose_tiny: Compose, tmp_path: Path
) -> None:
    cfg = compose_tiny("inputs=text_with_view")
    prepare_data(cfg)
    with pytest.raises(ValueError, match="has no features of modality 'text_view', it has: text"):
        build_experiment(as_run(cfg))
    folder = tmp_path / "data" / "demo_office"
    view = ModalityFeatures(np.array([1]), np.ones((1, 3), dtype=np.float32))
    inputs = pl.DataFrame({"item_id": [1]})
    replace_modality(folder, TEXT_VIEW, view, inputs=inputs, settings={"encoder": "another"})
    with pytest.raises(ValueError, match="text and text_view were made with different settings"):
        build_experiment(as_run(cfg))
    assert build_experiment(as_run(compose_tiny())).catalogue.second_views is None


def test_missing_domain_names_the_command_that_makes_it(compose_extract: Compose) -> None:
    with pytest.raises(FileNotFoundError, match=r"scientific is missing; .*prepare.py data=scien"):
        extract(compose_extract("data=scientific"))


class ReadsText:
    modalities = ("text",)


class ReadsBoth:
    modalities = ("text", "image")


@pytest.mark.parametrize(
    ("encoder", "images", "urls", "said"),
    [
        (ReadsText, "folder", None, "this encoder reads text, no images"),
        (ReadsText, "folder", ["https://shop.test/a.jpg"], "this encoder reads text, no images"),
        (ReadsText, "urls", ["https://shop.test/a.jpg"], "images=none leaves them out"),
        (ReadsText, "urls", None, None),
        (ReadsText, "urls", [], None),
        (ReadsBoth, "urls", ["https://shop.test/a.jpg"], None),
        (ReadsBoth, "urls", ["010/a.jpg"], "1 items name a file, such as 010/a.jpg"),
        (ReadsBoth, "urls", ["C:\\a.jpg"], "1 items name a file, such as C:"),
        (ReadsBoth, "urls", ["//shop.test/a.jpg"], None),
        (ReadsBoth, "folder", ["010/a.jpg"], None),
    ],
)
def test_images_that_a_command_cannot_read_are_told(
    *,
    compose_extract: Compose,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    encoder: type,
    images: str,
    urls: list[str] | None,
    said: str | None,
) -> None:
    folder = [f"images.folder={tmp_path}"] if images == "folder" else []
    source = build(compose_extract(f"images={images}", *folder), "images")
    items = pl.DataFrame({"image_urls": [urls]}, schema={"image_urls": pl.List(pl.Utf8)})
    warn_of_unread_images("toys", items, source, encoder())
    assert said in caplog.text if said else not caplog.text


def test_retry_is_a_setting_of_the_images(compose_extract: Compose) -> None:
    assert build(compose_extract("images.retry=[not_an_image]"), "images")
    with pytest.raises(ValueError, match="must be of not_found, not_an_image, placeholder"):
        build(compose_extract("images.retry=[ok]"), "images")


def test_images_come_from_urls_unless_they_are_left_out(compose_extract: Compose) -> None:
    assert isinstance(build(compose_extract(), "images"), ImagesFromUrls)
    assert not compose_extract("images=none").images


def test_every_encoder_composes(compose_extract: Compose) -> None:
    assert {"clip", "lsa", "sentence"} <= set(ENCODERS)
    for encoder in ENCODERS:
        assert compose_extract(f"encoder={encoder}").encoder._target_


def test_several_devices_need_a_strategy_that_shares_the_work(compose_extract: Compose) -> None:
    with pytest.raises(ValueError, match=r"trainer.strategy \(auto\).*trainer.strategy=ddp_spawn"):
        build_trainer(compose_extract("trainer.devices=2"), [])
    spawned = build_trainer(compose_extract("trainer.devices=2", "trainer.strategy=ddp_spawn"), [])
    assert spawned.world_size == 2
