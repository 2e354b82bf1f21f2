"""In which settings two runs differ."""

from __future__ import annotations

from typing import Any

import pytest

from missrec.runs.settings import UNMARKED, Marks, comparable_settings, described, differing

MARKS = UNMARKED._replace(
    neutral=frozenset({"data", "trainer.strategy"}),
    counting=frozenset({"data.name"}),
    seeds=frozenset({"seed"}),
    before={"model.new": 0.5, "split": {"_target_": "LeaveOneOut"}},
    undated=frozenset({"unsaid", "model.unsaid"}),
)


def differences(there: dict[str, Any], here: dict[str, Any], marks: Marks = MARKS) -> list[str]:
    both = (comparable_settings(config, marks=marks) for config in (there, here))
    return [str(difference) for difference in differing(*both, marks=marks)]


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ({"lr": 1}, {"lr": 1.0}),
        ({"cut": [1, {"a": 2.0}]}, {"cut": (1.0, {"a": 2})}),
        ({"data": {"name": "x", "folders": ["/a"]}}, {"data": {"name": "x", "folders": ["/b"]}}),
        ({"trainer": {"a": 1}}, {"trainer": {"a": 1, "strategy": {"timeout_sec": 3}}}),
        ({"model": {"width": 1}}, {"model": {"width": 1, "new": 0.5}}),
        ({}, {"split": {"_target_": "LeaveOneOut"}}),
        ({"model": {"a": 1}}, {"model": {"a": 1, "unsaid": 3}, "unsaid": 2}),
        (
            {"run_dir": "/old/logs/a", "paths": {"log_dir": "/old/logs"}, "to": "/old/logs/a/x"},
            {"run_dir": "/new/logs/a", "paths": {"log_dir": "/new/logs"}, "to": "/new/logs/a/x"},
        ),
    ],
)
def test_what_changes_no_result_is_no_difference(there: Any, here: Any) -> None:
    assert differences(there, here, MARKS.ignoring(["run_dir", "paths"])) == []


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        ({"seed": 1}, {"seed": 2}, "seed (1 there, 2 here)"),
        ({"data": {"name": "x"}}, {"data": {"name": "y"}}, "data.name (x there, y here)"),
        ({"model": {"a": 1}}, {"model": {"a": 1, "new": 2}}, "model.new (0.5 there, 2 here)"),
        ({"model": {"a": 1, "new": 2}}, {"model": {"a": 1}}, "model.new (2 there, 0.5 here)"),
        ({"split": {"_target_": "X"}}, {}, "split._target_ (X there, LeaveOneOut here)"),
        ({"unsaid": 2}, {"unsaid": 3}, "unsaid (2 there, 3 here)"),
        ({"unsaid": 2}, {}, "unsaid (2 there, none here)"),
        ({}, {"added": True}, "added (none there, true here)"),
        ({"stop": {"patience": 3}}, {}, "stop.patience (3 there, none here)"),
        ({"a": [{1: 2, "b": 3}]}, {"a": []}, 'a ([{"1": 2, "b": 3}] there, [] here)'),
    ],
)
def test_what_can_change_one_is_named_with_both_values(there: Any, here: Any, said: str) -> None:
    assert differences(there, here) == [said]


def test_a_part_that_was_left_out_had_no_settings() -> None:
    marks = UNMARKED._replace(before={"stop.patience": 3})
    assert comparable_settings({"stop": None}, marks=marks) == {"stop": "null"}


def test_of_many_differences_the_first_are_said() -> None:
    both = (comparable_settings({str(n): s for n in range(7)}, marks=MARKS) for s in (1, 2))
    said = described(differing(*both, marks=MARKS), most=2)
    assert said == "0 (1 there, 2 here), 1 (1 there, 2 here), and 5 more"


def test_rows_are_averaged_over_seeds_and_what_a_reader_ignores() -> None:
    config = {"seed": 1, "data": {"name": "x"}, "lr": 3}
    assert set(comparable_settings(config, marks=MARKS.of_rows(["data"]))) == {
        "lr", "model.new", "split._target_"}  # fmt: skip
