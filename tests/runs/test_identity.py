"""What data is known by: content in its order, and nothing else."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from changed_data import CHANGES, prepare_again, splitter_after
from missrec.data.manifest import MANIFEST, write_manifest
from missrec.data.splits import GlobalTime, LeaveOneOut, Split
from missrec.features.store import features_identity
from missrec.runs.folder import RunFolder
from missrec.runs.identity import (
    ChangedDataError,
    changes,
    check_same,
    data_identity,
    identity_in,
    identity_of_folders,
    mixed_encoders,
    provenance_facts,
    recorded_identity,
)
from synthetic import SEQUENCES, prepared_domain, sequence_datamodule, write_domain_folder

TEXT = ["text"]


def identity(*folders: Path, change: str = "", modalities: list[str] = TEXT) -> dict[str, Any]:
    return identity_of_folders(folders, splitter_after(change), modalities=modalities)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_domain_folder(tmp_path / "tiny")


@pytest.mark.parametrize("change", CHANGES)
def test_each_way_of_changing_data_is_told_by_its_name(folder: Path, change: str) -> None:
    before = identity(prepare_again(folder))
    prepare_again(folder, change)
    assert changes(before, identity(folder, change=change)) == [f"tiny: {CHANGES[change][1]}"]


def test_the_same_data_written_again_is_no_change_whatever_its_bytes(folder: Path) -> None:
    before = identity(folder)
    for name in ("interactions", "items", "users"):
        path = folder / f"{name}.parquet"
        old = path.read_bytes()
        table = pl.read_parquet(path)
        table.write_parquet(path, compression="gzip", row_group_size=2)  # as another library may
        assert path.read_bytes() != old
    manifest = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, {key: manifest[key] for key in ("domain", "counts")})
    assert identity(folder) == before
    assert identity(write_domain_folder(folder)) == before


def test_what_a_run_has_open_is_what_lies_in_its_folders(tmp_path: Path, folder: Path) -> None:
    other = write_domain_folder(tmp_path / "other", prepared_domain(SEQUENCES[::-1], name="other"))
    open_data = sequence_datamodule(folder)
    open_data.setup()
    assert data_identity(open_data.domains, modalities=TEXT) == identity(folder)
    # Of each domain on its own, wherever it stands among the others.
    both = identity(other, folder)
    assert both["tiny"] == identity(folder)["tiny"]
    assert both["other"] == identity(other)["other"]


def test_users_and_lengths_count(folder: Path) -> None:
    before = identity(folder)
    prepared = prepared_domain()
    renamed = replace(prepared, user_keys=["another", *prepared.user_keys[1:]])
    write_domain_folder(folder, renamed)
    assert changes(before, identity(folder)) == ["tiny: users"]
    # The same items in the same order, but another user took the fourth of the second.
    moved = [[*SEQUENCES[0], 3], [1, 2, 5], SEQUENCES[2][1:], SEQUENCES[3]]
    assert [*chain(*moved)] == [*chain(*SEQUENCES)]
    write_domain_folder(folder, prepared_domain(moved))
    assert changes(before, identity(folder)) == ["tiny: interactions, split (LeaveOneOut)"]


def test_keys_that_join_to_the_same_text_are_other_keys(tmp_path: Path) -> None:
    found = []
    for keys in (["a", "bc"], ["ab", "c"], ["abc", ""]):
        domain = prepared_domain([[1, 2, 1]], num_items=2, features={})
        folder = write_domain_folder(tmp_path / "".join(keys[0]), replace(domain, item_keys=keys))
        found.append(identity(folder, modalities=[])["tiny"]["items"])
    assert len(set(found)) == 3


def test_a_split_by_time_knows_the_times_by_what_it_makes_of_them(tmp_path: Path) -> None:
    times = [*range(5), *range(3), *range(4), *range(6)]
    by_time = GlobalTime(val_from=0.5, test_from=0.8)
    found = []
    for scale in (1, 7, 0):
        moved = [scale * time for time in times]
        folder = write_domain_folder(tmp_path / f"x{scale}", prepared_domain(times=moved))
        found.append(identity_of_folders([folder], by_time, modalities=TEXT))
    assert changes(found[0], found[1]) == []  # in another unit
    assert changes(found[0], found[2]) == ["tiny: split (GlobalTime)"]
    assert changes(found[0], identity(folder)) == ["tiny: split (GlobalTime, LeaveOneOut)"]


def test_positions_count_and_not_their_type_or_the_name_of_what_split(folder: Path) -> None:
    class Renamed(LeaveOneOut):
        def __call__(self, **data: Any) -> Split:
            split = super().__call__(**data)
            assert split.train.dtype == np.int32
            return Split(*(part.astype(np.int64) for part in split))

    again = identity_of_folders([folder], Renamed(), modalities=TEXT)
    assert again["tiny"]["split"]["by"] == "Renamed"
    assert changes(identity(folder), again) == []


def test_which_items_have_a_modality_counts_and_a_modality_of_one_side_does_not(
    folder: Path,
) -> None:
    before = identity(folder, modalities=["text", "image"])
    prepared = prepared_domain()
    image = prepared.features["image"].copy()
    image[[0, 1]] = image[[1, 0]]  # the same rows, of another item
    write_domain_folder(folder, replace(prepared, features=prepared.features | {"image": image}))
    assert changes(before, identity(folder, modalities=["text", "image"])) == [
        "tiny: image features"
    ]
    assert changes(before, identity(folder)) == []
    assert changes(before, identity(folder, modalities=[])) == []


def test_a_domain_of_one_side_is_a_difference(folder: Path) -> None:
    assert changes(identity(folder), {}) == ["tiny: on one side alone"]


def test_features_that_are_not_there_say_so(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"says nothing of the features \(KeyError"):
        features_identity(folder, ["sound"])
    (folder / "features" / MANIFEST).write_text("[]")
    with pytest.raises(ValueError, match="says nothing of the features"):
        features_identity(folder, TEXT)
    (folder / "features" / MANIFEST).unlink()
    with pytest.raises(FileNotFoundError, match=r"manifest.json is missing$"):
        features_identity(folder, TEXT)


def test_changed_data_is_refused_in_one_line_or_accepted_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = identity(prepare_again(folder))
    after = identity(prepare_again(folder, "interaction"))
    said = {"name": "logs/a", "remedy": "do this"}
    expected = "logs/a was made on other data: tiny: interactions; do this"
    with pytest.raises(ChangedDataError, match=f"^{expected}$"):
        check_same(before, after, accept=False, **said)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        assert check_same(before, after, accept=True, **said) == ["tiny: interactions"]  # type: ignore[arg-type]
        assert check_same(before, before, accept=False, **said) == []  # type: ignore[arg-type]
        assert check_same(None, after, accept=False, **said) == []  # type: ignore[arg-type]
    assert [record.getMessage() for record in caplog.records] == [
        "logs/a was made on other data, which is accepted: tiny: interactions",
        "logs/a does not know what data it was made on: that is not checked",
    ]


def test_an_identity_is_read_as_it_was_recorded_and_anything_else_is_none(
    tmp_path: Path, folder: Path
) -> None:
    found = identity(folder)
    path = tmp_path / "provenance.json"
    RunFolder(tmp_path).write_provenance(provenance_facts(found, accepted=[]))
    assert recorded_identity(RunFolder(tmp_path)) == found
    without_sum = json.dumps(provenance_facts(found, accepted=[]))
    for broken in ("{", "[]", '{"data": [1]}', '{"data": {"tiny": {}}}', without_sum):
        path.write_text(broken)
        assert recorded_identity(RunFolder(tmp_path)) is None
    for part in found["tiny"]:
        lacking = {"tiny": {key: value for key, value in found["tiny"].items() if key != part}}
        assert identity_in({"data": lacking}) is None
        assert identity_in({"data": {"tiny": {**found["tiny"], part: ["x"]}}}) is None or (
            part not in {"split", "features"}
        )


def of(encoder: dict[str, str]) -> dict[str, Any]:
    return {"features": {"text": {"values": "x", "encoder": encoder}}}


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"fingerprint": "a"}, {"fingerprint": "a"}, []),
        (
            {"fingerprint": "a"},
            {"fingerprint": "b"},
            ["the text features of toys and sports are not of the same encoder"],
        ),
        (
            {"fingerprint": "a"},
            {"source": "made elsewhere"},
            ["the text features of toys and sports are not of the same encoder"],
        ),
        ({"source": "made elsewhere"}, {"source": "made elsewhere", "sha256": "b"}, []),
        ({"fingerprint": "a"}, {"encoders": "CLIP"}, []),  # released: who knows
    ],
)
def test_features_of_several_encoders_are_told(
    one: dict[str, str], other: dict[str, str], said: list[str]
) -> None:
    assert mixed_encoders({"toys": of(one), "sports": of(other)}) == said
    assert mixed_encoders({"toys": of(one), "sports": {"features": {}}}) == []
