"""Features that were made elsewhere, put into a domain folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from missrec.data.manifest import MANIFEST
from missrec.features.given import GivenFeatures, put_features
from missrec.features.store import (
    FEATURES,
    MissingFeaturesError,
    features_identity,
    read_features,
)
from missrec.features.vectors import Vectors
from missrec.files import sha256
from synthetic import NUM_ITEMS, prepared_domain, write_domain_folder

VALUES = np.arange(1, 13, dtype=np.float16).reshape(NUM_ITEMS, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_domain_folder(tmp_path / "shop", prepared_domain(name="shop"))


def vectors(folder: Path, keys: list[str], values: np.ndarray | None = None) -> Vectors:
    path = folder.parent / "made.npy"
    rows = VALUES[: len(keys)] if values is None else values
    np.save(path, rows)
    return Vectors(path, pl.Series(keys), rows, str(rows.dtype))


def put(folder: Path, given: Vectors, modality: str = "text") -> dict[str, int]:
    return put_features(folder, modality, given, name="shop")


def test_vectors_go_to_their_items_and_the_other_modality_stays(folder: Path) -> None:
    before = read_features(folder, ["image"], num_items=NUM_ITEMS)["image"]
    keys = ["item-3", "item-1", "item-6"]
    assert put(folder, vectors(folder, keys)) == {"ok": 3, "no_vector": 3}
    found = read_features(folder, ["text", "image"], num_items=NUM_ITEMS)
    assert found["text"].item_ids.tolist() == [1, 3, 6]
    assert found["text"].values.tolist() == [[3, 4], [1, 2], [5, 6]]
    assert found["text"].values.dtype == np.float16
    assert found["image"].values.tolist() == before.values.tolist()


def test_a_modality_may_have_any_name_and_the_manifest_says_where_it_is_from(folder: Path) -> None:
    given = vectors(folder, ["item-2"])
    put(folder, given, "audio")
    manifest = json.loads((folder / FEATURES / MANIFEST).read_text())
    assert manifest["counts"]["audio"] == {"items": 1, "width": 2}
    assert manifest["settings"]["audio"] == {
        "source": "made elsewhere",
        "file": {
            "name": "made.npy",
            "sha256": sha256(given.path),
            "width": 2,
            "dtype": "float16",
        },
    }
    assert read_features(folder, ["audio"], num_items=NUM_ITEMS)["audio"].item_ids.tolist() == [2]


def test_it_is_known_again_by_its_values_whatever_its_file_is_called(folder: Path) -> None:
    keys = ["item-1", "item-2"]
    put(folder, vectors(folder, keys))
    before = features_identity(folder, ["text"])["text"]
    assert before["encoder"] == {"source": "made elsewhere"}
    again = folder.parent / "again.npy"
    again.write_bytes(b"another file")
    put(folder, vectors(folder, keys)._replace(path=again))
    assert features_identity(folder, ["text"])["text"] == before
    put(folder, vectors(folder, keys, VALUES[2:4]))
    changed = features_identity(folder, ["text"])["text"]
    assert changed["encoder"] == before["encoder"]
    assert changed["values"] != before["values"]


def test_a_second_view_made_elsewhere_goes_with_such_texts_alone(folder: Path) -> None:
    put(folder, vectors(folder, ["item-1"]), "text_view")
    with pytest.raises(MissingFeaturesError, match="made with different settings"):
        read_features(folder, ["text", "text_view"], num_items=NUM_ITEMS)
    put(folder, vectors(folder, ["item-1"], VALUES[1:2]))
    assert len(read_features(folder, ["text", "text_view"], num_items=NUM_ITEMS)) == 2


def test_unknown_keys_and_items_without_a_vector_are_counted_with_examples(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    put(folder, vectors(folder, ["item-1", "sku-8", "sku-9", "item-2"]))
    assert (
        "made.npy: 2 of 4 keys are of no item of shop, such as 'sku-8', 'sku-9'; items are such as "
        "'item-1', 'item-2'" in caplog.text
    )
    assert "shop: 66.7 % of the items have no text vector: 'item-3', 'item-4'" in caplog.text


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["x", "y", "z"], "none of its 3 keys, such as 'x', 'y', is of an item of shop, such as"),
        (["x"], "none of its 1 keys, such as 'x', is"),
    ],
)
def test_a_file_of_another_catalogue_is_refused_and_what_was_there_stays(
    folder: Path, keys: list[str], said: str
) -> None:
    before = read_features(folder, ["text"], num_items=NUM_ITEMS)["text"].values.tolist()
    with pytest.raises(ValueError, match=said):
        put(folder, vectors(folder, keys))
    assert read_features(folder, ["text"], num_items=NUM_ITEMS)["text"].values.tolist() == before


def test_a_vector_of_zeros_is_none(folder: Path) -> None:
    values = np.array([[0, 0], [0, 1]], dtype=np.float32)
    outcomes = put(folder, vectors(folder, ["item-1", "item-2"], values))
    assert outcomes == {"ok": 1, "no_vector": 5}
    assert read_features(folder, ["text"], num_items=NUM_ITEMS)["text"].item_ids.tolist() == [2]


@pytest.mark.parametrize(
    ("item_keys", "keys", "found"),
    [
        (["7", "8", "9"], ["7.0", "9.0"], [1, 3]),
        (["7", "8", "9"], ["07", "8", "9.5"], [2]),
        (["7.0", "7", "9"], ["7.0", "9.00"], [1, 3]),
    ],
)
def test_keys_of_whole_numbers_with_gaps_are_those_of_the_items(
    tmp_path: Path, item_keys: list[str], keys: list[str], found: list[int]
) -> None:
    domain = prepared_domain([[1, 2, 3]], name="shop", num_items=3, features={})
    object.__setattr__(domain, "item_keys", item_keys)
    folder = write_domain_folder(tmp_path / "shop", domain)
    put(folder, vectors(folder, keys))
    assert read_features(folder, ["text"], num_items=3)["text"].item_ids.tolist() == found


def test_two_keys_of_one_item_are_refused(tmp_path: Path) -> None:
    domain = prepared_domain([[1, 2, 3]], name="shop", num_items=3, features={})
    object.__setattr__(domain, "item_keys", ["7", "8", "9"])
    folder = write_domain_folder(tmp_path / "shop", domain)
    with pytest.raises(ValueError, match=r"'7', '7\.0' are of one item"):
        put(folder, vectors(folder, ["7", "7.0", "8"]))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ("vectors.npy", "must say modality: file"),
        (["vectors.npy"], "must say modality: file"),
        ({"text": None}, "must say modality: file"),
        ({"a/b": "v.npy"}, "'a/b' must be a word"),
        ({"text.item_ids": "v.npy"}, "must be a word"),
        ({"": "v.npy"}, "must be a word"),
        ({"../x": "v.npy"}, "must be a word"),
    ],
)
def test_a_setting_that_names_no_modality_and_file_is_refused(files: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GivenFeatures(files=files, keys=None, key_column=None, vector_column=None)


def test_keys_may_be_named_for_each_modality_or_for_all(tmp_path: Path) -> None:
    for name, key in (("a", "x"), ("b", "y")):
        np.save(tmp_path / f"{name}.npy", VALUES[:1])
        (tmp_path / f"{name}.txt").write_text(f"{key}\n")
    files = {"text": str(tmp_path / "a.npy"), "audio": str(tmp_path / "b.npy")}
    each = {"text": str(tmp_path / "a.txt"), "audio": str(tmp_path / "b.txt")}

    def keys(named: Any) -> list[str]:
        given = GivenFeatures(files=files, keys=named, key_column=None, vector_column=None)
        return [found.keys[0] for found in given.read().values()]

    assert keys(each) == ["x", "y"]
    assert keys(each["text"]) == ["x", "x"]
