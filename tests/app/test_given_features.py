"""`features.files={text: vectors.npy}` in prepare and extract, and on to a run that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import ROOT, Compose
from hydra import compose, initialize_config_dir

from missrec.app.extract import extract
from missrec.app.prepare import prepare
from missrec.app.train import train
from missrec.data.domain import ITEMS
from missrec.features.store import read_features

CLICKS = "user,item\n" + "".join(f"u{u},{i}\n" for u in range(12) for i in range(u % 3, 6 + u % 3))
NUM_ITEMS = 8


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """Arguments of `data=own` for a shop of 8 items, whose keys are 0..7."""
    (tmp_path / "clicks.csv").write_text(CLICKS)
    items = pl.DataFrame({"item": range(NUM_ITEMS), "title": [f"t {i}" for i in range(NUM_ITEMS)]})
    items.write_csv(tmp_path / "items.csv")
    return [
        "data=own",
        "data.name=shop",
        f"data.interactions.path={tmp_path / 'clicks.csv'}",
        f"data.items.path={tmp_path / 'items.csv'}",
        f"data.sources.own.rejects.path={tmp_path / 'rejects.csv'}",
        f"paths.data_dir={tmp_path / 'data'}",
    ]


def vectors(folder: Path, width: int) -> np.ndarray:
    """Writes one of each item, by falling key; returns them by rising."""
    values = np.random.default_rng(width).normal(size=(NUM_ITEMS, width)).astype(np.float32)
    np.save(folder / f"v{width}.npy", values[::-1])
    lines = "".join(f"{key}\n" for key in reversed(range(NUM_ITEMS)))
    (folder / f"v{width}.keys.txt").write_text(lines)
    return values


def composed(door: str, *overrides: str) -> Any:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(door, list(overrides))


def test_prepare_and_extract_take_them_over_and_a_run_reads_any_modality(
    own: list[str], tmp_path: Path, compose_tiny: Compose
) -> None:
    text, audio = vectors(tmp_path, 4), vectors(tmp_path, 3)
    (row,) = prepare(composed("prepare", *own, f"features.files={{text: {tmp_path / 'v4.npy'}}}"))
    assert row.num_with == {"text": NUM_ITEMS}
    shop = tmp_path / "data" / "shop"
    done = extract(composed("extract", *own, f"features.files={{audio: {tmp_path / 'v3.npy'}}}"))
    assert done["shop"]["audio"].outcomes == {"ok": NUM_ITEMS, "no_vector": 0}
    found = read_features(shop, ["text", "audio"], num_items=NUM_ITEMS)
    assert found["text"].values.tolist() == text.tolist()
    assert found["audio"].values.tolist() == audio.tolist()

    # What was made for these items stays when they are prepared again.
    prepare(composed("prepare", *own))
    assert read_features(shop, ["audio"], num_items=NUM_ITEMS).keys() == {"audio"}

    (tmp_path / "conf" / "inputs").mkdir(parents=True)
    inputs = tmp_path / "conf" / "inputs" / "text_audio.yaml"
    inputs.write_text("name: ta\nmodalities: [text, audio]\n")
    cfg = compose_tiny(
        f"hydra.searchpath=[{tmp_path / 'conf'}]",
        *("experiment=scratch", *own, "inputs=text_audio", "transfer=inductive"),
        *("model=missrec_small", "model.embed_dim=8", "trainer.max_epochs=1"),
        base=(),
    )
    assert "test/ndcg@10" in train(cfg)
    recorded = json.loads((Path(cfg.run_dir) / "provenance.json").read_text())["data"]
    assert recorded["shop"]["features"]["audio"]["encoder"] == {"source": "made elsewhere"}


def test_a_bad_file_is_refused_before_anything_is_made(own: list[str], tmp_path: Path) -> None:
    vectors(tmp_path, 4)
    (tmp_path / "v4.keys.txt").write_text("0\n")
    with pytest.raises(ValueError, match="has 8 rows, and there are 1 keys"):
        prepare(composed("prepare", *own, f"features.files={{text: {tmp_path / 'v4.npy'}}}"))
    (tmp_path / "v4.keys.txt").write_text("".join(f"sku-{key}\n" for key in range(NUM_ITEMS)))
    with pytest.raises(ValueError, match="none of its 8 keys, such as 'sku-0', 'sku-1', is of an"):
        prepare(composed("prepare", *own, f"features.files={{text: {tmp_path / 'v4.npy'}}}"))
    assert not (tmp_path / "data" / "shop" / ITEMS).exists()


@pytest.mark.parametrize("door", ["prepare", "extract"])
def test_they_are_of_one_domain(tmp_path: Path, door: str) -> None:
    run = {"prepare": prepare, "extract": extract}[door]
    small = [f"data.sources.demo_{name}.num_users=20" for name in ("kitchen", "garden", "music")]
    cfg = composed(
        door,
        *(
            "data=demo_sources",
            *small,
            f"paths.data_dir={tmp_path}",
            "features.files={text: v.npy}",
        ),
    )
    with pytest.raises(ValueError, match=r"features\.files is of one domain, and data=demo_s"):
        run(cfg)
