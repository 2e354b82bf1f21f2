"""What saved configs said otherwise, in the words of today."""

from __future__ import annotations

from missrec.runs.format import current, current_settings

BEFORE = "missrec.tracking.wandb_records.WandbRecords"
TODAY = "missrec.tracking.records.Records"


def test_the_records_of_w_and_b_are_those_of_every_tracker() -> None:
    saved = {
        "format_version": 1,
        "callbacks": {"wandb_records": {"_target_": BEFORE, "num_examples": 3}},
        "logger": {"wandb": {"_target_": "missrec.tracking.loggers.wandb_logger", "mode": "auto"}},
        "wandb_records": {"a.b": 1},  # of nobody we know
    }
    assert current(saved) == {
        "callbacks": {"records": {"_target_": TODAY, "num_examples": 3}},
        "logger": {"wandb": {"_target_": "missrec.tracking.wandb.WandbTracker", "mode": "auto"}},
        "wandb_records": {"a.b": 1},
    }


def test_settings_that_a_study_recorded_have_the_keys_of_today() -> None:
    recorded = {"callbacks.wandb_records._target_": BEFORE, "callbacks.wandb_records.cutoffs": [1]}
    expected = {"callbacks.records._target_": TODAY, "callbacks.records.cutoffs": [1]}
    assert current_settings(recorded) == expected
    assert current_settings({"callbacks.wandb_records": None}) == {"callbacks.records": None}
