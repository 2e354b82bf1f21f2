from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from missrec.features.codes import ItemCodes, ItemCoding
from missrec.features.quantization import Codebooks, OptimizedProductQuantizer
from missrec.features.table import FeatureTable
from missrec.types import Catalogue
from synthetic import catalogue, modality_features, raw_features

NUM_ITEMS, WIDTH = 40, 8
WITHOUT_TEXT = [3, 40]
SEEN = list(range(1, 31))
"""The items that occur in training."""


def items(*, seed: int = 1, seen: list[int] = SEEN, resident_bytes: int = 1 << 30) -> Catalogue:
    features = raw_features(num_items=NUM_ITEMS, width=WIDTH, missing=WITHOUT_TEXT, seed=seed)
    return catalogue([[*seen, 1, 1]], features={"text": features}, resident_bytes=resident_bytes)


def coding(cache_dir: Path | None, **changes: Any) -> ItemCoding:
    settings = {
        "num_codebooks": 4,
        "num_codewords": 8,
        "items_per_codeword": 2,
        "num_rotations": 2,
        "seed": 0,
    }
    return ItemCoding(
        quantizer=OptimizedProductQuantizer(**{**settings, **changes}),
        cache_dir=None if cache_dir is None else str(cache_dir),
    )


def assert_same(one: ItemCodes, other: ItemCodes) -> None:
    assert one.codewords.equal(other.codewords)
    assert one.present.equal(other.present)
    assert one.num_used.equal(other.num_used)


def test_every_item_has_the_codes_of_its_text_and_others_have_none() -> None:
    given = items()
    codes = coding(None)(given)
    assert codes.codewords.dtype == torch.uint8
    without = [0, *WITHOUT_TEXT]
    assert codes.present.eq(codes.present[:, :1]).all()
    assert codes.present[:, 0].logical_not().nonzero().squeeze(1).tolist() == without
    assert not codes.codewords[without].any()
    learned_from = [item for item in SEEN if item not in WITHOUT_TEXT]  # 29 items
    assert codes.num_used.tolist() == [8] * 4
    codebooks = coding(None)._quantizer.learn(
        given.features.lookup(0, torch.tensor(learned_from)).numpy()
    )
    coded = codes.present[:, 0].nonzero().squeeze(1)
    expected = codebooks(given.features.lookup(0, coded).numpy())
    np.testing.assert_array_equal(codes.codewords[coded].numpy(), expected)


def test_items_that_never_occur_in_training_change_no_code_of_others() -> None:
    features = raw_features(num_items=NUM_ITEMS, width=WIDTH, seed=1)
    changed = features.copy()
    changed[34] += 10  # item 35
    codes, other = (
        coding(None)(catalogue([[*SEEN, 1, 1]], features={"text": values})).codewords
        for values in (features, changed)
    )
    same = codes.eq(other).all(dim=1)
    assert (~same).nonzero().squeeze(1).tolist() == [35]


def test_the_domains_of_a_run_are_coded_together() -> None:
    values = [raw_features(num_items=20, width=WIDTH, seed=seed) for seed in (1, 2)]
    table = FeatureTable(
        [modality_features({"text": part}) for part in values],
        num_items=[20, 20],
        resident_bytes=1 << 30,
    )
    everywhere = torch.ones(41, dtype=torch.int64)
    codes = coding(None)(replace(items(), features=table, train_counts=everywhere))
    together = np.concatenate(values)
    expected = coding(None)._quantizer.learn(together)(together)
    np.testing.assert_array_equal(codes.codewords[1:].numpy(), expected)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of items whenever codebooks are learned."""
    counts: list[int] = []
    learn = OptimizedProductQuantizer.learn

    def counted(self: OptimizedProductQuantizer, vectors: np.ndarray) -> Codebooks:
        counts.append(len(vectors))
        return learn(self, vectors)

    monkeypatch.setattr(OptimizedProductQuantizer, "learn", counted)
    return counts


def test_the_same_items_and_settings_are_coded_once(tmp_path: Path, learned: list[int]) -> None:
    codes = coding(tmp_path)(items())
    assert learned == [29]
    for resident_bytes in (1 << 30, 0):
        assert_same(coding(tmp_path)(items(resident_bytes=resident_bytes)), codes)
    assert learned == [29]
    coding(None)(items())
    assert learned == [29, 29]


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({"seed": 2}, {}),
        ({"seen": SEEN[:-1]}, {}),
        ({}, {"seed": 1}),
        ({}, {"num_codewords": 4}),
        ({}, {"num_codebooks": 2}),
        ({}, {"items_per_codeword": 3}),
        ({}, {"num_rotations": 1}),
    ],
)
def test_other_items_or_settings_are_coded_anew(
    tmp_path: Path, learned: list[int], given: dict[str, Any], changes: dict[str, int]
) -> None:
    coding(tmp_path)(items())
    other = coding(tmp_path, **changes)(items(**given))
    assert len(learned) == 2
    assert_same(other, coding(None, **changes)(items(**given)))
    assert len(list(tmp_path.glob("[!.]*"))) == 2


@pytest.mark.parametrize("damage", ["changed", "cut", "absent", "no manifest", "no json"])
def test_damaged_codes_are_made_again(
    tmp_path: Path, learned: list[int], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    codes = coding(tmp_path)(items())
    (folder,) = tmp_path.glob("[!.]*")
    path = folder / "codes.npy"
    content = path.read_bytes()
    if damage == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "no json":
        (folder / "manifest.json").write_text("{")
    else:
        {"absent": path, "no manifest": folder / "manifest.json"}[damage].unlink()
    assert_same(coding(tmp_path)(items()), codes)
    assert len(learned) == 2
    assert "the item codes are made again" in caplog.text
    assert_same(coding(tmp_path)(items()), codes)
    assert len(learned) == 2


def test_codes_of_other_features_under_this_name_are_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    codes = coding(tmp_path / "a")(items())
    coding(tmp_path / "b")(items(seed=2))
    (ours,), (theirs,) = (list((tmp_path / name).glob("[!.]*")) for name in "ab")
    shutil.rmtree(ours)
    theirs.rename(ours)
    assert_same(coding(tmp_path / "a")(items()), codes)
    assert "was made of other features" in caplog.text


def test_each_modality_has_its_codes_behind_those_of_the_other(
    tmp_path: Path, learned: list[int]
) -> None:
    text = raw_features(num_items=NUM_ITEMS, width=WIDTH, missing=WITHOUT_TEXT, seed=1)
    image = raw_features(num_items=NUM_ITEMS, width=6, missing=[*range(1, 20)], seed=2)
    both, *alone = (
        coding(tmp_path)(catalogue([[*SEEN, 1, 1]], features=features))
        for features in ({"text": text, "image": image}, {"text": text}, {"image": image})
    )
    for part in ("codewords", "present", "num_used"):
        expected = torch.cat([getattr(codes, part) for codes in alone], dim=-1)
        assert getattr(both, part).equal(expected)
    kept = [one for codes in alone for one in codes.codebooks]
    for made, own in zip(both.codebooks, kept, strict=True):
        assert made.rotation.equal(own.rotation)
        assert made.centroids.equal(own.centroids)
    assert both.num_used.tolist() == [8] * 4 + [4] * 4  # 29 texts, 11 images
    assert learned == [29, 11]  # either is kept by itself


def test_without_features_there_are_no_codes() -> None:
    with pytest.raises(ValueError, match="made of features, and the inputs are"):
        coding(None)(catalogue(features={}, num_items=6))


def test_a_single_item_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match="from at least 2 items, not 1"):
        coding(None)(items(seen=[1]))


def test_where_nothing_can_be_kept_the_codes_are_made_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert_same(coding(tmp_path / "file" / "codes")(items()), coding(None)(items()))
    assert "item codes are not kept" in caplog.text
