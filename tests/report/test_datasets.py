"""What the report takes from domain folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from changed_data import CHANGES, prepare_again
from missrec.app.rows import known_splits
from missrec.data.splits import LeaveOneOut
from missrec.metrics.paired import read_ranks
from missrec.report.datasets import DataToday, data_notes, table_1, train_counts
from missrec.report.paper import read_paper
from missrec.runs.identity import identity_of_folders
from run_folders import ROOT, a_run
from synthetic import NAME, NUM_ITEMS, SEQUENCES, write_domain_folder

SPLITS = known_splits(ROOT)


def paper(**dataset: Any) -> Any:
    other = {"data": {"gone": "gone"}, "published": {"users": 5}}
    toys = {"data": {NAME: "toys"}, "published": {"users": 4, "images": 6}, **dataset}
    both = {"data": {}, "published": {"users": 9}, "sum_of": ["Toys", "Toys"]}
    return read_paper({"datasets": {"Toys": toys, "Gone": other, "Both": both}, "tables": []})


def test_table_1_counts_what_the_manifests_say_and_names_what_makes_the_rest(
    tmp_path: Path,
) -> None:
    write_domain_folder(tmp_path / NAME)
    toys, gone, both = table_1(paper(), data_dir=tmp_path)
    num_interactions = sum(map(len, SEQUENCES))
    assert toys.found == {
        "users": len(SEQUENCES),
        "items": NUM_ITEMS,
        "interactions": num_interactions,
        "length": num_interactions / len(SEQUENCES),
        "images": 4,  # two of the six have none
    }
    assert toys.note == "data=toys"
    assert (gone.found, gone.note) == ({}, "python src/prepare.py data=gone")
    assert both.found["users"] == 2 * len(SEQUENCES)
    assert both.found["length"] == toys.found["length"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"counts": {"users": 1}}', '{"counts": 3}'])
def test_a_manifest_that_cannot_be_read_is_no_data(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "manifest.json").write_text(content)
    assert table_1(paper(), data_dir=tmp_path)[0].found == {}


def test_a_folder_that_is_not_the_known_set_is_named_with_what_differs(tmp_path: Path) -> None:
    write_domain_folder(tmp_path / NAME)
    features = json.loads((tmp_path / NAME / "features" / "manifest.json").read_text())
    facts = {
        "users": len(SEQUENCES),
        "features text": features["files"]["text.npy"]["sha256"],
        "split leave_one_out": "not in this manifest",
    }

    def notes(**changes: Any) -> dict[str, list[str]]:
        entry = {"toy_set": {"what": "the set of toys", "facts": {**facts, **changes}}}
        return data_notes(paper(known="toy_set"), data_dir=tmp_path, known_domains=entry)

    assert notes() == {}
    assert notes(users=5, **{"features text": "0"}) == {
        NAME: [f"data/{NAME} is not the set of toys; other: users, features text."]
    }


def ranked(folder: Path, targets: list[int]) -> Path:
    path = folder / f"test_ranks_{NAME}.parquet"
    users = range(len(targets))
    ranks = [1.0] * len(targets)
    pl.DataFrame({"user_id": users, "target_id": targets, "rank": ranks}).write_parquet(path)
    return path


def test_popularity_counts_the_training_part_of_the_folder_that_was_ranked(tmp_path: Path) -> None:
    write_domain_folder(tmp_path / NAME)
    path = ranked(tmp_path, [sequence[-1] for sequence in SEQUENCES])
    run = a_run(ranks={NAME: path})
    counts = train_counts(run, read_ranks(path), data_dir=tmp_path, splits=SPLITS)
    trained = [item for sequence in SEQUENCES for item in sequence[:-2]]
    assert counts.tolist() == [trained.count(item) for item in range(NUM_ITEMS + 1)]
    split = {"datamodule.split._target_": '"missrec.data.splits.LeaveOneOut"'}
    same = run._replace(settings=split)
    assert counts.equal(train_counts(same, read_ranks(path), data_dir=tmp_path, splits=SPLITS))


def test_a_folder_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    write_domain_folder(tmp_path / NAME)
    path = ranked(tmp_path, [1] * len(SEQUENCES))
    with pytest.raises(ValueError, match="is no longer what a ranked"):
        train_counts(a_run(ranks={NAME: path}), read_ranks(path), data_dir=tmp_path, splits=SPLITS)


def test_what_has_changed_since_a_run_is_told_of_the_folders_that_are_there(tmp_path: Path) -> None:
    folder = prepare_again(tmp_path / NAME)
    run = a_run(data=identity_of_folders([folder], LeaveOneOut(), modalities=["text"]))

    def changes() -> list[str]:
        return DataToday(data_dir=tmp_path, splits=SPLITS).changes(run)

    assert changes() == []
    for change in ("interaction", "item order", "encoder"):
        prepare_again(folder, change)
        assert changes() == [f"{NAME}: {CHANGES[change][1]}"]
    (folder / "items.parquet").write_bytes(b"PAR1")
    assert "has 4 bytes, its manifest says" in changes()[0]
    folder.rename(tmp_path / "elsewhere")
    assert changes() == []
    assert DataToday(data_dir=tmp_path, splits=SPLITS).changes(a_run()) == []


def test_no_class_that_only_a_run_s_config_names_is_called(tmp_path: Path) -> None:
    write_domain_folder(tmp_path / NAME)
    path = ranked(tmp_path, [sequence[-1] for sequence in SEQUENCES])
    split = {"datamodule.split._target_": '"os.system"', "datamodule.split.command": '"x"'}
    run = a_run(ranks={NAME: path}, settings=split)
    with pytest.raises(ValueError, match="the split of a is none of"):
        train_counts(run, read_ranks(path), data_dir=tmp_path, splits=SPLITS)
