"""Runs of earlier versions can be used as when they were made; see the README beside this."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from doors import call
from kept_runs.kept_project import copy_project

Command = Callable[..., str]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
RUNS = sorted(EXPECTED["evaluate"])

pytestmark = pytest.mark.slow

TINY = (
    "datamodule.batch_size=64",
    "trainer.enable_progress_bar=false",
    "~callbacks.progress_bar",
    "trainer.accelerator=cpu",
    "logger=csv",
    "model.embed_dim=8",
    "data.sources.demo_office.num_users=60",
    "data.sources.demo_office.num_items=40",
    "trainer.max_epochs=2",
    "model.network.block.feedforward_dim=16",
)
BY_STEPS = (
    "callbacks.latest.train_time_interval=null",
    "callbacks.latest.every_n_train_steps=2",
)
"""The settings of make.sh."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project at another place, with the kept runs in its logs and their data."""
    root = tmp_path / "project"
    copy_project(root)
    return root


@pytest.fixture
def command(project: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`command("train", "seed=1")`: what it says; it runs in the project, and must end well."""
    monkeypatch.chdir(project)

    def end(door: str, *arguments: str) -> str:
        ended = call(door, *arguments, PROJECT_ROOT=str(project), WANDB_MODE="offline")
        assert ended.code == 0, ended
        return ended.stdout + ended.stderr

    return end


def same(found: Mapping[str, float], expected: Mapping[str, float]) -> bool:
    """Equal but for what another version of a library may round otherwise, and what is new since.

    New are the metrics of lists, which are measured of every run that is ranked today.
    """
    known = {key: value for key, value in found.items() if not is_list_metric(key)}
    return known == pytest.approx(expected, rel=1e-6, abs=1e-9)


def is_list_metric(key: str) -> bool:
    words = ("coverage", "gini", "popularity", "novelty", "diversity_", "serendipity", "cold_")
    return key.startswith("test/") and key.rpartition("/")[2].startswith(words)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("run", ["demo/missrec_s1", "finetune/vqrec", "pretrain/missrec"])
def test_a_kept_run_is_evaluated_as_before(project: Path, command: Command, run: str) -> None:
    command("evaluate", f"run=logs/{run}")
    found = read(project / "logs" / run / "evaluation" / "metrics.json")["metrics"]
    assert same(found, EXPECTED["evaluate"][run])
    assert 0 < found["test/coverage@10"] <= 1


def test_a_kept_run_that_was_killed_is_resumed_as_before(project: Path, command: Command) -> None:
    command("train", "resume=logs/demo/killed")
    found = read(project / "logs/demo/killed/metrics.json")
    assert same(found, EXPECTED["resume"]["demo/killed"])


def test_a_kept_run_that_had_finished_trains_on_as_before(project: Path, command: Command) -> None:
    command("train", "resume=logs/demo/missrec_s1", "trainer.max_epochs=4")
    found = read(project / "logs/demo/missrec_s1/metrics.json")
    assert same(found, EXPECTED["resume"]["demo/missrec_s1"])


def test_a_kept_pre_training_is_transferred_as_before(project: Path, command: Command) -> None:
    command(
        "train",
        "experiment=finetune",
        *TINY,
        "transfer=transductive",
        "pretrained=logs/pretrain/missrec",
        "hydra.run.dir=logs/finetune/again",
    )
    before, now = (project / "logs/finetune" / run / "metrics.json" for run in ("missrec", "again"))
    assert same(read(now), read(before))


def test_kept_runs_are_compared_as_before(project: Path, command: Command) -> None:
    sides = ("run=logs/demo/missrec_s*", "against=logs/demo/sasrec_s1")
    command("evaluate", *sides, "hydra.run.dir=logs/compared")
    found = read(project / "logs/compared/comparison.json")["domains"]
    assert found.keys() == EXPECTED["compare"].keys()
    for domain, metrics in EXPECTED["compare"].items():
        for metric, figures in metrics.items():
            for name, value in figures.items():
                assert found[domain][metric][name] == pytest.approx(value, rel=1e-6, abs=1e-9)
            assert found[domain][metric]["p_value"] is None  # one seed of SASRec


def test_kept_runs_are_reported_as_before(project: Path, command: Command) -> None:
    command("report")
    report = project / "logs/report"
    found = {row["run"]: row for row in rows(report / "runs.csv")}
    for row in found.values():  # the tables of one's own runs came later
        papers = (name for name in row["rows"].split("; ") if not name.startswith("Your runs"))
        row["rows"] = "; ".join(papers)
    assert found.keys() == EXPECTED["report"].keys()
    for run, expected in EXPECTED["report"].items():
        assert {key: found[run][key] for key in expected} == expected
        metrics = {key: float(value) for key, value in found[run].items() if "/" in key and value}
        recorded = read(project / "logs" / run / "metrics.json") | EXPECTED["evaluate"].get(run, {})
        assert same(metrics, {key: value for key, value in recorded.items() if "/" in key})
    flags = {
        f"{row['table']}, {row['dataset']}, {row['variant']}: {row['row']}": row["flags"]
        for row in rows(report / "results.csv")
        if row["runs"] != "0" and row["table"] != "Your runs"
    }
    assert flags == EXPECTED["flags"]


def test_a_kept_sweep_that_was_killed_is_finished_by_its_command_as_before(
    project: Path, command: Command
) -> None:
    (sweep,) = (project / "logs/sweeps").iterdir()
    done = next(sweep.glob("0_*/metrics.json"))
    untouched = done.stat().st_mtime_ns
    said = command("train", "-m", "experiment=demo", *TINY, *BY_STEPS, "seed=1,2",
        f"hydra.sweep.dir={sweep}")  # fmt: skip
    assert "had finished before" in said
    assert done.stat().st_mtime_ns == untouched
    found = {path.parent.name: read(path) for path in sweep.glob("*/metrics.json")}
    assert found.keys() == EXPECTED["sweep"].keys()
    assert all(same(found[job], metrics) for job, metrics in EXPECTED["sweep"].items())


def test_a_kept_study_that_was_killed_is_finished_by_its_command_as_before(
    project: Path, command: Command
) -> None:
    space = "search.space={optimizer.lr:{choices:[0.001,0.01]}}"
    command("tune", "experiment=demo", *TINY, *BY_STEPS, "search.study=kept", space)
    found = rows(project / "logs/tune/kept/trials.csv")
    assert len(found) == len(EXPECTED["trials"])
    for row, expected in zip(found, EXPECTED["trials"], strict=True):
        assert float(row["val/ndcg@10"]) == pytest.approx(float(expected["val/ndcg@10"]), rel=1e-6)
        assert all(row[key] == value for key, value in expected.items() if "@" not in key)
