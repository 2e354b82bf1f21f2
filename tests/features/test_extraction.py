from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from torch import distributed

from missrec.features.extraction import Extraction
from missrec.features.inputs import A_PATH, INPUT_SCHEMA, ItemTexts
from missrec.features.store import read_features
from toy_encoder import ToyEncoder, extractor, write_items

TEXTS = ["a", "bb", " ", "bb", "ccc", "?", "dddd", "eeeee"]  # 3 blank, 4 as 2, 6 has no features
FEATURES = {1: [1, 10], 2: [2, 20], 4: [2, 20], 5: [3, 30], 7: [4, 40], 8: [5, 50]}


def extract(
    folder: Path, encoder: ToyEncoder, texts: Sequence[str] = TEXTS, **changes: Any
) -> Extraction:
    inputs = ItemTexts().find("tiny", write_items(folder, texts))
    return extractor(encoder, **changes).extract(folder, "text", inputs)


def read(folder: Path, num_items: int = len(TEXTS)) -> dict[int, list[float]]:
    text = read_features(folder, ["text"], num_items=num_items)["text"]
    return dict(zip(text.item_ids.tolist(), text.values.tolist(), strict=True))


def manifest(folder: Path) -> Any:
    return json.loads((folder / "features" / "manifest.json").read_text())


def test_each_item_gets_the_features_of_its_own_text(tmp_path: Path) -> None:
    done = extract(tmp_path, ToyEncoder())
    assert read(tmp_path) == FEATURES
    assert (done.num_items, done.num_with, done.num_encoded) == (8, 6, 6)
    assert done.outcomes == {"no_known_word": 1, "no_text": 1, "ok": 6}


@pytest.mark.parametrize(
    ("num_known", "said"),
    [
        (1, "{}: 1 of 2 texts (50.0 %) have no word that the encoder knows"),
        (31, "{}: 1 of 32 texts (3.1 %) have no word that the encoder knows"),
        (33, None),
    ],
)
def test_more_than_a_few_texts_without_a_known_word_are_told_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, num_known: int, said: str | None
) -> None:
    texts = ["a" * length for length in range(1, num_known + 1)]
    for _ in range(2):
        extract(tmp_path, ToyEncoder(), [*texts, "?"])
        told = [record.message for record in caplog.records if "no word" in record.message]
        assert len(told) == (said is not None)
        assert said is None or told[0].startswith(said.format(tmp_path.name))
        caplog.clear()


def test_a_text_that_two_items_share_is_encoded_once(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    extract(tmp_path, encoder)
    assert sorted(encoder.loaded) == ["?", "a", "bb", "ccc", "dddd", "eeeee"]


def test_the_manifest_names_what_made_the_features(tmp_path: Path) -> None:
    extract(tmp_path, ToyEncoder(), dtype="float16")
    made_with = manifest(tmp_path)["settings"]["text"]
    assert len(made_with.pop("fingerprint")) == 64
    assert made_with == {
        "encoder": "toy",
        "factor": 10,
        "computed_in": "32-true",
        "stored_as": "float16",
    }
    assert np.load(tmp_path / "features" / "text.npy").dtype == np.float16


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    extract(tmp_path, ToyEncoder())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    again = ToyEncoder()
    done = extract(tmp_path, again)
    assert again.loaded == []
    assert (done.num_with, done.num_encoded) == (6, 0)
    assert done.outcomes == {"no_known_word": 1, "no_text": 1, "ok": 6}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == before


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot go on at dddd"):
        extract(tmp_path, ToyEncoder(fail_at="dddd"))
    assert not (tmp_path / "features").exists()
    rest = ToyEncoder()
    done = extract(tmp_path, rest)
    assert rest.loaded == ["dddd", "eeeee"]
    assert done.num_encoded == 2
    assert read(tmp_path) == FEATURES
    assert not (tmp_path / ".extract").exists()


def test_half_a_shard_is_encoded_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="cannot go on"):
        extract(tmp_path, ToyEncoder(fail_at="dddd"))
    shards = sorted(tmp_path.rglob("*.npz"))
    shards[0].write_bytes(shards[0].read_bytes()[:-30])
    shards[1].with_suffix(".npz.part").write_bytes(b"PK")
    rest = ToyEncoder()
    extract(tmp_path, rest)
    assert len(rest.loaded) == 2 + 2
    assert f"{shards[0].name} cannot be read" in caplog.text
    assert read(tmp_path) == FEATURES


@pytest.mark.parametrize("finished", [True, False])
def test_another_encoder_starts_anew_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, finished: bool
) -> None:
    if finished:
        extract(tmp_path, ToyEncoder())
    else:
        with pytest.raises(ValueError, match="cannot go on"):
            extract(tmp_path, ToyEncoder(fail_at="dddd"))
    other = ToyEncoder(factor=100)
    with caplog.at_level(logging.INFO):
        extract(tmp_path, other)
    assert len(other.loaded) == 6
    assert read(tmp_path)[8] == [5, 500]
    assert "another encoder or other settings" in caplog.text or "is dropped" in caplog.text


@pytest.mark.parametrize("changes", [{"dtype": "float16"}, {"precision": "bf16-mixed"}])
def test_another_precision_starts_anew(tmp_path: Path, changes: dict[str, str]) -> None:
    extract(tmp_path, ToyEncoder())
    again = ToyEncoder()
    extract(tmp_path, again, **changes)
    assert len(again.loaded) == 6


def test_what_an_interrupted_run_encoded_serves_other_items(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="cannot go on"):
        extract(tmp_path, ToyEncoder(fail_at="dddd"))
    rest = ToyEncoder()
    extract(tmp_path, rest, ["new text", "ccc", "a", ""])  # other items, other order
    assert rest.loaded == ["new text"]
    assert read(tmp_path, num_items=4) == {1: [8, 80], 2: [3, 30], 3: [1, 10]}


def images(*inputs: str | None) -> pl.DataFrame:
    """Items 1, 2, ... with these images, or none; the toy encoder takes their names for them."""
    rows = [
        (item, "timeout", None, None) if name is None else (item, "ok", name, f"digest of {name}")
        for item, name in enumerate(inputs, start=1)
    ]
    return pl.DataFrame(rows, schema=INPUT_SCHEMA, orient="row")


def test_images_that_came_later_are_encoded_alone(tmp_path: Path) -> None:
    write_items(tmp_path, TEXTS)
    extractor(ToyEncoder()).extract(tmp_path, "image", images("1", None, "?", None))
    later = ToyEncoder()
    done = extractor(later).extract(tmp_path, "image", images("1", "22", "?", "4444"))
    assert later.loaded == ["22", "4444"]
    assert done.outcomes == {"no_known_word": 1, "ok": 3}
    image = read_features(tmp_path, ["image"], num_items=len(TEXTS))["image"]
    assert image.item_ids.tolist() == [1, 2, 4]
    assert image.values.tolist() == [[1, 10], [2, 20], [4, 40]]


def paths_of(inputs: pl.DataFrame) -> pl.DataFrame:
    """The inputs of a source that reads no files: what was none there is a path here."""
    return inputs.with_columns(outcome=pl.col("outcome").replace("timeout", A_PATH))


@pytest.mark.parametrize(
    ("now", "outcomes", "rows"),
    [
        ((None, None, None), {A_PATH: 3}, {1: [1, 10], 2: [2, 20]}),
        ((None, None, "333"), {"ok": 3}, {1: [1, 10], 2: [2, 20], 3: [3, 30]}),
        (("4444", None, None), {"ok": 2, A_PATH: 1}, {1: [4, 40], 2: [2, 20]}),
    ],
    ids=["nothing else", "another item", "an item anew"],
)
def test_features_of_files_stay_where_files_are_not_read(
    tmp_path: Path,
    now: Sequence[str | None],
    outcomes: dict[str, int],
    rows: dict[int, list[float]],
) -> None:
    write_items(tmp_path, TEXTS)
    extractor(ToyEncoder()).extract(tmp_path, "image", images("1", "22", None))
    done = extractor(ToyEncoder()).extract(tmp_path, "image", paths_of(images(*now)))
    assert (done.outcomes, done.num_with) == (outcomes, len(rows))
    image = read_features(tmp_path, ["image"], num_items=len(TEXTS))["image"]
    assert dict(zip(image.item_ids.tolist(), image.values.tolist(), strict=True)) == rows


@pytest.mark.parametrize(
    ("now", "values"),
    [((None, "333"), [[1, 10], [2, 20]]), (("1", "22", None), [[1, 100], [2, 200]])],
    ids=["fewer", "as many"],
)
def test_another_encoder_replaces_features_of_files_by_as_many_alone(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    now: Sequence[str | None],
    values: list[list[float]],
) -> None:
    write_items(tmp_path, TEXTS)
    extractor(ToyEncoder()).extract(tmp_path, "image", images("1", "22"))
    done = extractor(ToyEncoder(factor=100)).extract(tmp_path, "image", paths_of(images(*now)))
    image = read_features(tmp_path, ["image"], num_items=len(TEXTS))["image"]
    assert (done.num_with, image.values.tolist()) == (2, values)
    assert ("the image features of 2 items stay as they are: 1 items" in caplog.text) == (
        len(now) == 2
    )


def test_other_modalities_stay(tmp_path: Path) -> None:
    extract(tmp_path, ToyEncoder())
    done = extractor(ToyEncoder()).extract(tmp_path, "image", images(None, "12"))
    assert done.outcomes == {"ok": 1, "timeout": 1}
    features = read_features(tmp_path, ["text", "image"], num_items=len(TEXTS))
    assert read(tmp_path) == FEATURES
    assert features["image"].item_ids.tolist() == [2]
    assert set(manifest(tmp_path)["settings"]) == {"text", "image"}
    extract(tmp_path, ToyEncoder(factor=100))
    image = read_features(tmp_path, ["image"], num_items=len(TEXTS))["image"]
    assert image.values.tolist() == features["image"].values.tolist()


def test_features_that_are_there_stay_where_no_item_has_the_modality(tmp_path: Path) -> None:
    extract(tmp_path, ToyEncoder())
    done = extractor(ToyEncoder(factor=100)).extract(
        tmp_path, "text", ItemTexts().find("tiny", write_items(tmp_path, TEXTS)).clear()
    )
    assert done == Extraction(0, len(FEATURES), 0, 0.0, {})
    assert read(tmp_path) == FEATURES


def test_texts_without_any_features_are_read_as_no_rows(tmp_path: Path) -> None:
    done = extract(tmp_path, ToyEncoder(), ["?", "??"])
    assert (done.num_with, done.num_encoded) == (0, 2)
    assert read(tmp_path, num_items=2) == {}
    assert extract(tmp_path, ToyEncoder(), ["?", "??"]).num_encoded == 0


def test_a_feature_too_large_for_half_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sha256 \w+ are not finite as float16"):
        extract(tmp_path, ToyEncoder(factor=1e5), dtype="float16")
    assert not (tmp_path / "features").exists()


@pytest.mark.parametrize("fail_at", [None, "dddd"])
def test_the_bar_shows_how_far_it_came(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fail_at: str | None,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes stderr for a terminal
    with contextlib.suppress(ValueError):
        extract(tmp_path, ToyEncoder(fail_at=fail_at), show_progress=True)
    assert ("6/6" if fail_at is None else "4/6") in capsys.readouterr().err


def test_there_is_no_bar_in_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract(tmp_path, ToyEncoder(), show_progress=True)
    assert "6/6" not in capsys.readouterr().err


def test_unknown_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dtype \(float8\) must be float16 or float32"):
        extractor(ToyEncoder(), dtype="float8")


@pytest.mark.parametrize("text", ["no", "off", None])
def test_a_word_is_no_truth_value(text: str | None) -> None:
    with pytest.raises(ValueError, match=rf"show_progress \({text}\) must be true or false"):
        extractor(ToyEncoder(), show_progress=text)


def test_batches_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"batch_size \(0\) must be at least 1"):
        extract(tmp_path, ToyEncoder(), batch_size=0)


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    extract(tmp_path / "one", ToyEncoder())
    done = extract(tmp_path / "two", ToyEncoder(), devices=2)
    assert done.num_encoded == 6
    assert read(tmp_path / "two") == FEATURES
    one, two = (manifest(tmp_path / name)["files"] for name in ("one", "two"))
    assert one == two


def test_a_process_leaves_the_others_before_it_ends(tmp_path: Path) -> None:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    extract(tmp_path, ToyEncoder())
    assert not distributed.is_initialized()
