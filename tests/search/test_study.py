"""Search spaces, and studies that processes share; nothing is trained."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.pruners import ThresholdPruner
from optuna.samplers import TPESampler

from missrec.runs.trust import UntrustedError
from missrec.search.space import Grid, num_combinations, read_space
from missrec.search.study import OtherStudyError, SharedStudy
from missrec.search.trials import TrialRow
from search.study_worker import CHOICES, open_study

NUMBERS = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "width": FloatDistribution(0.0, 1.0),
}
TPE = partial(TPESampler, n_startup_trials=3)


@contextmanager
def opened(folder: Path, **settings: Any) -> Iterator[SharedStudy]:
    study = open_study(folder, **settings)
    try:
        yield study
    finally:
        study.close()


def run_all(folder: Path, *, at_a_time: int = 99, **settings: Any) -> list[dict[str, Any]]:
    """Parameters of all trials, the study opened anew after some; the best is near lr = 0.01."""
    finished = False
    while not finished:
        with opened(folder, **settings) as study:
            for _ in range(at_a_time):
                taken = study.take()
                if taken is None:
                    finished = True
                    break
                study.tell(taken, value=-abs(taken.params.get("lr", 0.01) - 0.01))
            rows = study.rows()
    return [dict(row.params) for row in rows]


def row_of(folder: Path, number: int) -> TrialRow:
    with opened(folder) as study:
        return study.rows()[number]


def test_a_space_is_read_as_it_is_written() -> None:
    space = read_space(
        {
            "a": {"choices": [1, None, "x", True]},
            "b": {"float": [1e-4, 0.1], "log": True},
            "c": {"int": [2, 8], "step": 2},
        }
    )
    assert space == {
        "a": CategoricalDistribution([1, None, "x", True]),
        "b": FloatDistribution(1e-4, 0.1, log=True),
        "c": IntDistribution(2, 8, step=2),
    }
    assert num_combinations(CHOICES) == 12
    assert num_combinations(space) == float("inf")


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({}, "search.space is empty"),
        ({"lr": 0.1}, r"search.space: lr \(0.1\) must be {choices"),
        ({"lr": {"choices": []}}, "must be {choices"),
        ({"lr": {"choices": [1], "log": True}}, "must be {choices"),
        ({"lr": {"float": [1.0]}}, "must be {choices"),
        ({"lr": {"float": [1.0, 0.1]}}, "lr: .*low <= high"),
        ({"lr": {"float": [0.0, 0.1], "log": True}}, "lr: .*low > 0"),
        ({"lr": {"float": [0.1, 0.2], "logs": True}}, "lr: .*unexpected keyword argument 'logs'"),
        ({"lr": {"choices": [[1, 2]]}}, "lr: a choice is a number"),
    ],
)
def test_a_wrong_space_is_refused(described: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_space(described)


def test_a_grid_visits_each_combination_once_in_the_order_of_the_lists(tmp_path: Path) -> None:
    expected = [{"a": a, "b": b} for b, a in product("xy", range(1, 7))]
    assert run_all(tmp_path, max_trials=12) == expected


def test_a_grid_needs_choices() -> None:
    with pytest.raises(ValueError, match="lr has no list of choices, which a grid needs"):
        Grid(seed=0).sample_independent(None, None, "lr", FloatDistribution(0, 1))  # type: ignore[arg-type]


def test_the_proposals_depend_on_the_seed_and_not_on_how_often_the_search_stopped(
    tmp_path: Path,
) -> None:
    settings: dict[str, Any] = {"space": NUMBERS, "sampler": TPE, "max_trials": 13}
    straight = run_all(tmp_path / "a", **settings)
    assert run_all(tmp_path / "b", at_a_time=6, **settings) == straight
    assert run_all(tmp_path / "c", seed=2, **settings) != straight
    assert len({trial["lr"] for trial in straight}) == 13


@pytest.mark.slow
def test_processes_share_a_study_without_a_trial_twice_or_too_many(tmp_path: Path) -> None:
    script = ROOT / "tests" / "search" / "study_worker.py"
    environment = {"PYTHONPATH": f"{ROOT / 'src'}", "PATH": ""}
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path), "12"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(3)
    ]
    done = [worker.communicate()[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(int(number) for numbers in done for number in numbers) == list(range(12))
    with opened(tmp_path, max_trials=12) as study:
        rows = study.rows()
        assert study.take() is None
    assert {row.state for row in rows} == {"complete"}
    assert len({tuple(row.params.values()) for row in rows}) == 12


@pytest.mark.slow
def test_a_trial_is_left_to_the_process_that_works_on_it(tmp_path: Path) -> None:
    with opened(tmp_path) as ours:
        taken = ours.take()
        assert taken is not None
        script = ROOT / "tests" / "search" / "study_worker.py"
        environment = {"PYTHONPATH": f"{ROOT / 'src'}", "PATH": ""}
        subprocess.run(
            [sys.executable, str(script), str(tmp_path), "3"], check=True, env=environment
        )
        assert [row.state for row in ours.rows()] == ["running", "complete", "complete"]


def test_an_interrupted_trial_comes_first(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        trial = study.take()
    with opened(tmp_path) as study:
        again = study.take()
    assert trial is not None
    assert again is not None
    assert again.number == trial.number == 0
    assert again.params == trial.params


def test_what_was_decided_on_an_epoch_stands_when_it_is_repeated(tmp_path: Path) -> None:
    """The pruner gives up above 0.5; it sees no epoch twice but the last, which may be open."""
    above = ThresholdPruner(upper=0.5)
    with opened(tmp_path, pruner=above) as study:
        trial = study.take()
        assert trial is not None
        assert [study.report(trial, epoch=n, value=v) for n, v in enumerate([0.1, 0.2, 0.9])] == [
            False,
            False,
            True,
        ]
    with opened(tmp_path, pruner=above) as study:
        again = study.take()
        assert again is not None
        assert [study.report(again, epoch=n, value=0.0) for n in range(3)] == [False, False, True]
        assert study.rows()[0].epochs == 3


@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_waits_until_the_database_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as study:
        trial = study.take()
        assert trial is not None
        end = study._end

        def interrupted_end(*given: Any, **settings: Any) -> None:
            signal.raise_signal(signal.SIGINT)
            end(*given, **settings)

        monkeypatch.setattr(study, "_end", interrupted_end)
        with pytest.raises(KeyboardInterrupt):
            study.tell(trial, value=0.5)
        study.put_back(trial)
        assert [row.state for row in study.rows()] == ["complete"]


def test_a_trial_whose_process_dies_three_times_has_failed(tmp_path: Path) -> None:
    numbers = []
    for _ in range(4):
        with opened(tmp_path) as study:
            taken = study.take()
        assert taken is not None
        numbers.append(taken.number)
    assert numbers == [0, 0, 0, 1]
    row = row_of(tmp_path, 0)
    assert (row.state, row.reason) == ("failed", "its process died 3 times")


def test_a_trial_that_is_put_back_or_gets_on_has_not_died(tmp_path: Path) -> None:
    for epoch in range(6):
        with opened(tmp_path) as study:
            taken = study.take()
            assert taken is not None
            assert taken.number == 0
            if epoch % 2:
                study.put_back(taken)
            else:
                study.report(taken, epoch=epoch, value=0.5)


def test_a_repeated_point_takes_over_the_result_without_work(tmp_path: Path) -> None:
    space = {"a": CategoricalDistribution([7, 8]), "b": CategoricalDistribution([0])}
    with opened(tmp_path, space=space, max_trials=4) as study:
        for result in ({"value": 0.5}, {"reason": "diverged"}):
            taken = study.take()
            assert taken is not None
            study.tell(taken, **result)
        assert study.take() is None
        rows = study.rows()
    assert [row.state for row in rows] == ["complete", "failed", "complete", "failed"]
    assert rows[2].value == 0.5
    assert rows[2].reason == "the same as trial 0, complete"
    assert rows[3].reason == "the same as trial 1, failed"


def test_what_an_older_study_left_in_the_folder_of_a_new_trial_goes(tmp_path: Path) -> None:
    for name in ("trial_0000", "trial_0000_s2", "trial_0001"):
        (tmp_path / name).mkdir()
    with opened(tmp_path) as study:
        study.take()
    assert [path.name for path in tmp_path.glob("trial_*")] == ["trial_0001"]


def test_other_settings_are_refused_once_there_is_a_trial(tmp_path: Path) -> None:
    with opened(tmp_path, seed=1):
        pass
    with opened(tmp_path, seed=2) as study:
        study.take()
    said = f"{tmp_path} was started with another seed \\(2 there, 1 here\\)"
    with pytest.raises(OtherStudyError, match=said):
        open_study(tmp_path, seed=1)
    with opened(tmp_path, seed=2, max_trials=99) as study:
        assert study.take() is not None


def test_a_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database, and longer than its header " * 9)
    with pytest.raises(ValueError, match=r"study\.db is no study: file is not a database"):
        open_study(tmp_path)


def test_the_study_is_a_plain_optuna_database(tmp_path: Path) -> None:
    run_all(tmp_path, max_trials=2)
    connection = sqlite3.connect(tmp_path / "study.db")
    assert connection.execute("select count(*) from trials").fetchone() == (2,)
    connection.close()


@pytest.mark.parametrize("name", ["callbacks.x", "a"])
def test_a_database_whose_trials_hold_other_parameters_is_refused(
    tmp_path: Path, name: str
) -> None:
    with opened(tmp_path) as study:
        study.take()
    other = CategoricalDistribution(["{_target_:test_study.mark}"])
    with sqlite3.connect(tmp_path / "study.db") as stranger:
        stranger.execute(
            "UPDATE trial_params SET param_name = ?, distribution_json = ? WHERE param_name = 'a'",
            (name, distribution_to_json(other)),
        )
    stranger.close()
    with pytest.raises(UntrustedError, match=rf"study\.db: {name} .* of trial 0 is not from the"):
        open_study(tmp_path)
