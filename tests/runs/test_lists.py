from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from missrec.runs.finding import find_runs
from missrec.runs.lists import evaluated_later, lists_file, read_lists, save_lists
from missrec.runs.settings import UNMARKED
from run_folders import record_run, run_config

LIMITS = {"cold_item": 4, "cold_user": 5}
RECORDED = {"test/recall@10": 0.25, "val/recall@10": 0.5}
EVALUATED: dict[str, Any] = {
    "metrics": {"test/recall@10": 0.25, "test/coverage@10": 0.75},
    "lists": {"cutoffs": [10], **LIMITS},
    "accepted_changes": [],
}


def test_lists_are_read_as_they_were_written_and_a_change_is_noticed(tmp_path: Path) -> None:
    path = lists_file(tmp_path, "toys")
    assert path.name == "test_lists_toys.parquet"
    save_lists(path, torch.tensor([3, 5, 8]), np.array([[7, 2], [0, 0], [4, 0]]))
    table = read_lists(path)
    assert table.rows() == [(3, 1, 7), (3, 2, 2), (8, 1, 4)]
    metadata = pl.read_parquet_metadata(path)
    changed = table.with_columns(item_id=table["item_id"] + 1)
    changed.write_parquet(path, metadata={"missrec_sha256": metadata["missrec_sha256"]})
    with pytest.raises(ValueError, match="was changed since it was written"):
        read_lists(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="is no whole table of lists"):
        read_lists(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="only a finished run has it"):
        read_lists(path)


def evaluation(folder: Path, content: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(content))
    return folder


def test_an_evaluation_adds_what_its_run_did_not_record(tmp_path: Path) -> None:
    found = evaluated_later(evaluation(tmp_path, EVALUATED), RECORDED, limits=LIMITS)
    assert found == {"test/coverage@10": 0.75}
    recorded = {**RECORDED, "test/coverage@10": 0.75}
    assert evaluated_later(tmp_path, recorded, limits=LIMITS) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["metrics"].update({"test/recall@10": 0.26}),
        lambda content: content["metrics"].pop("test/recall@10"),
        lambda content: content["metrics"].update({"test/coverage@10": float("nan")}),
        lambda content: content["metrics"].update({"test/coverage@10": "many"}),
        lambda content: content["lists"].update({"cold_item": 9}),
        lambda content: content.update(accepted_changes=["toys: items"]),
        lambda content: content.pop("lists"),
        lambda content: content.pop("metrics"),
    ],
    ids=["weights", "nothing shared", "nan", "text", "limits", "data", "before", "none"],
)
def test_an_evaluation_of_something_else_adds_nothing(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    content = json.loads(json.dumps(EVALUATED))
    change(content)
    assert evaluated_later(evaluation(tmp_path, content), RECORDED, limits=LIMITS) == {}


def test_no_evaluation_adds_nothing(tmp_path: Path) -> None:
    assert evaluated_later(tmp_path, RECORDED, limits=LIMITS) == {}
    (tmp_path / "metrics.json").write_text("[" * 100_000)
    assert evaluated_later(tmp_path, RECORDED, limits=LIMITS) == {}


def test_runs_are_found_with_what_their_evaluation_added(tmp_path: Path) -> None:
    run = record_run(tmp_path / "a", run_config("data=scientific", "logger=csv"), [1.0, 30.0])
    metrics = {"test/recall@10": 0.5, "test/coverage@10": 0.75}
    evaluation(run / "evaluation", {**EVALUATED, "metrics": metrics})
    (found,) = find_runs([tmp_path], marks=UNMARKED, shown_from=tmp_path).finished
    assert found.metrics["test/coverage@10"] == 0.75
    assert "coverage@10" in found.tested
