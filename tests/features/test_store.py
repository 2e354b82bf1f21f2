from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from missrec.data.domain import ITEMS
from missrec.data.manifest import MANIFEST, MissingFolderError, write_manifest
from missrec.features.store import ModalityFeatures, read_features, replace_modality
from synthetic import prepared_domain, text_and_image, write_domain_folder

RAW = text_and_image()  # 6 items; 2 and 5 have no image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_domain_folder(tmp_path / "tiny")


def read(folder: Path, *modalities: str) -> dict[str, ModalityFeatures]:
    return read_features(folder, list(modalities), num_items=6)


def overwrite(folder: Path, name: str, values: np.ndarray) -> None:
    """Replaces an array under a manifest that matches it, as a faulty extraction would."""
    features = folder / "features"
    np.save(features / name, values)
    manifest = json.loads((features / MANIFEST).read_text())
    del manifest["files"]
    write_manifest(features, manifest)


def test_only_the_rows_that_exist_are_stored(folder: Path) -> None:
    image = read(folder, "image")["image"]
    assert image.item_ids.tolist() == [1, 3, 4, 6]
    np.testing.assert_array_equal(image.values, RAW["image"][[0, 2, 3, 5]])
    assert len(np.load(folder / "features" / "image.npy")) == 4


def test_modalities_come_in_the_order_asked_for(folder: Path) -> None:
    assert list(read(folder, "image", "text")) == ["image", "text"]
    assert list(read(folder, "text")) == ["text"]


def test_values_stay_on_disk_until_they_are_used(folder: Path) -> None:
    assert isinstance(read(folder, "text")["text"].values, np.memmap)


def test_half_precision_stays_half(tmp_path: Path) -> None:
    halves = {modality: values.astype(np.float16) for modality, values in RAW.items()}
    folder = write_domain_folder(tmp_path / "tiny", prepared_domain(features=halves))
    text = read(folder, "text")["text"].values
    assert text.dtype == np.float16
    np.testing.assert_array_equal(text, halves["text"])


def test_modality_that_no_item_has_is_read_as_no_rows(tmp_path: Path) -> None:
    features = {**RAW, "image": np.zeros((6, 3), dtype=np.float32)}
    folder = write_domain_folder(tmp_path / "tiny", prepared_domain(features=features))
    image = read(folder, "image")["image"]
    assert (image.item_ids.shape, image.values.shape) == ((0,), (0, 3))


def test_manifest_says_how_many_items_have_what(folder: Path) -> None:
    manifest = json.loads((folder / "features" / MANIFEST).read_text())
    assert manifest["counts"] == {
        "text": {"items": 6, "width": 4},
        "image": {"items": 4, "width": 3},
    }
    assert manifest["settings"] == {key: {"source": "synthetic"} for key in RAW}


def test_missing_folder_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFolderError, match=r"features.*is missing") as refused:
        read(tmp_path / "tiny", "text")
    assert refused.value.folder == tmp_path / "tiny" / "features"


@pytest.mark.parametrize("name", ["text.npy", "text.item_ids.npy"])
def test_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / "features" / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} is missing"):
        read(folder, "text")


@pytest.mark.parametrize("num_bytes", [1, 4 * 4])
def test_truncated_file_is_refused(folder: Path, num_bytes: int) -> None:
    path = folder / "features" / "text.npy"
    path.write_bytes(path.read_bytes()[:-num_bytes])
    with pytest.raises(ValueError, match=r"text.npy has \d+ bytes, its manifest says \d+"):
        read(folder, "text")


def test_changed_byte_is_refused(folder: Path) -> None:
    path = folder / "features" / "text.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"text.npy does not match the sha256"):
        read(folder, "text")


def test_features_of_other_items_are_refused(folder: Path, tmp_path: Path) -> None:
    more = prepared_domain(num_items=7)
    other = write_domain_folder(tmp_path / "other", more)
    (folder / ITEMS).write_bytes((other / ITEMS).read_bytes())
    with pytest.raises(ValueError, match=r"was made for another items.parquet"):
        read(folder, "text")


def test_unknown_modality_is_refused_with_the_known_ones(folder: Path) -> None:
    said = r"no features of modality 'sound', it has: text, image"
    with pytest.raises(ValueError, match=said):
        read(folder, "sound")


@pytest.mark.parametrize("shape", [(5, 4), (7, 4), (6,)])
def test_wrong_shape_is_refused(folder: Path, shape: tuple[int, ...]) -> None:
    overwrite(folder, "text.npy", np.ones(shape, dtype=np.float32))
    with pytest.raises(ValueError, match=r"text.npy has shape \(\d,.*\), expected 6 rows"):
        read(folder, "text")


def test_another_width_than_the_manifest_says_is_refused(folder: Path) -> None:
    overwrite(folder, "text.npy", np.ones((6, 5), dtype=np.float32))
    with pytest.raises(ValueError, match=r"text.npy has .*5.*, .*4"):
        read(folder, "text")


@pytest.mark.parametrize("bad", [0, 7])
def test_item_id_out_of_range_is_refused(folder: Path, bad: int) -> None:
    overwrite(folder, "image.item_ids.npy", np.array([bad, 3, 4, 6]))
    with pytest.raises(ValueError, match=rf"image.item_ids.npy holds ids .*{bad}.*, expected 1..6"):
        read(folder, "image")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(folder: Path, bad: float) -> None:
    values = RAW["text"].copy()
    values[4, 2] = bad
    overwrite(folder, "text.npy", values)
    with pytest.raises(ValueError, match=r"text.npy: row 4 holds NaN or Inf"):
        read(folder, "text")


@pytest.mark.parametrize("num_rows", [5, 7])
def test_features_of_another_number_of_items_are_refused(tmp_path: Path, num_rows: int) -> None:
    features: dict[str, Any] = {"text": np.ones((num_rows, 4), dtype=np.float32)}
    with pytest.raises(ValueError, match=rf"text.*{num_rows}.*6"):
        write_domain_folder(tmp_path / "tiny", prepared_domain(features=features))
    assert list(tmp_path.iterdir()) == []


NEW_IMAGE = ModalityFeatures(np.array([2]), np.array([[1, 2]], dtype=np.float16))
INPUTS = pl.DataFrame({"item_id": [2], "sha256": ["x"], "outcome": ["ok"]})


def replace_image(folder: Path) -> None:
    replace_modality(folder, "image", NEW_IMAGE, inputs=INPUTS, settings={"encoder": "new"})


def test_replaced_modality_leaves_the_others_as_they_were(folder: Path) -> None:
    before = read(folder, "text")["text"]
    replace_image(folder)
    features = read(folder, "text", "image")
    np.testing.assert_array_equal(features["text"].values, before.values)
    assert features["image"].item_ids.tolist() == [2]
    assert features["image"].values.tolist() == [[1, 2]]
    manifest = json.loads((folder / "features" / MANIFEST).read_text())
    assert manifest["counts"]["image"] == {"items": 1, "width": 2}
    assert manifest["settings"] == {"text": {"source": "synthetic"}, "image": {"encoder": "new"}}
    assert pl.read_parquet(folder / "features" / "image.inputs.parquet").equals(INPUTS)


@pytest.mark.parametrize("damage", ["changed", "missing", "of other items"])
def test_others_that_cannot_be_trusted_do_not_stay(folder: Path, damage: str) -> None:
    text = folder / "features" / "text.npy"
    if damage == "changed":
        text.write_bytes(text.read_bytes()[:-1] + b"x")
    elif damage == "missing":
        text.unlink()
    else:
        pl.read_parquet(folder / ITEMS).head(5).write_parquet(folder / ITEMS)
    replace_image(folder)
    with pytest.raises(ValueError, match=r"no features of modality 'text', it has: image"):
        read(folder, "text")
    assert read(folder, "image")["image"].item_ids.tolist() == [2]


def test_modality_can_be_the_first(folder: Path) -> None:
    shutil.rmtree(folder / "features")
    replace_image(folder)
    assert read(folder, "image")["image"].values.tolist() == [[1, 2]]
