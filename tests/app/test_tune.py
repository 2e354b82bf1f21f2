"""The search end to end, on a tiny domain."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ALWAYS, OFFICE, ROOT
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from doors import call
from missrec.app.search import read_search
from missrec.app.session import compose_train
from missrec.app.train import train
from missrec.app.tune import tune, tune_settings, worker_environment
from missrec.data.datamodule import SequenceDataModule
from missrec.data.domain import read_prepared, write_domain
from missrec.files import replace_folder
from missrec.runs.folder import RunFolder

pytestmark = pytest.mark.slow

LR = "search.space={optimizer.lr:{choices:[%s]}}"
SPACES = {
    "learning_rate": "missrec",
    "regularisation": "missrec",
    "interests": "missrec",
    "sequence_encoder": "sasrec",
}
QUICK = ["callbacks.interpretation=null", "trainer.max_epochs=1"]
"""In other processes, which would draw pictures."""
Search = Callable[..., Path]


def arguments(tmp_path: Path, *overrides: str, folder: str = "study") -> list[str]:
    places = [f"paths.data_dir={tmp_path / 'data'}", f"search.dir={tmp_path / folder}"]
    return [*ALWAYS, *OFFICE, "trainer.max_epochs=2", *places, "search.study=s", *overrides]


def compose_tune(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("tune", overrides=list(overrides))


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """`search("seed=2", folder="a")`: the folder of a finished study of the tiny domain."""

    def run(*overrides: str, folder: str = "study") -> Path:
        given = arguments(tmp_path, *overrides, folder=folder)
        tune(compose_tune(*given), overrides=given)
        assert not HydraConfig.initialized()
        return tmp_path / folder

    return run


def table(folder: Path) -> list[dict[str, str]]:
    """`trials.csv` without what differs from run to run."""
    with (folder / "trials.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    return [{key: row[key] for key in row if key != "duration_sec"} for row in rows]


def best(folder: Path) -> Any:
    return yaml.safe_load((folder / "best.yaml").read_text())


def validations(folder: Path, trial: str) -> int:
    """How many validations the curves of a trial show."""
    (path,) = (folder / trial / "csv").glob("*/metrics.csv")
    with path.open() as lines:
        return sum(row["val/ndcg@10"] != "" for row in csv.DictReader(lines))


def starts_with_curves(folder: Path, run: str) -> int:
    """How often a run was started or resumed."""
    return len(list((folder / run / "csv").glob("version_*/metrics.csv")))


def test_the_papers_learning_rates_are_tried_once_each_and_the_best_is_by_validation(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = search("search=learning_rate")
    rows = table(folder)
    assert [row["optimizer.lr"] for row in rows] == ["0.0003", "0.001", "0.003", "0.01"]
    assert [row["state"] for row in rows] == ["complete"] * 4
    values = [float(row["val/ndcg@10"]) for row in rows]
    for number, value in enumerate(values):
        trial = folder / f"trial_{number:04d}"
        metrics = json.loads((trial / "validation.json").read_text())
        assert metrics["val/ndcg@10"] == value
        assert not [key for key in metrics if key.startswith("test/")]
        assert "${" not in (trial / "config.yaml").read_text().replace("${run_dir}", "")
        assert validations(folder, trial.name) == 3  # two epochs, and the best once more
        assert not (trial / "checkpoints").exists()
    assert not list(folder.rglob("metrics.json"))
    assert not list(folder.rglob("*ranks*"))
    found = best(folder)
    assert found["val/ndcg@10"] == max(values)
    assert found["overrides"] == [f"optimizer.lr={rows[values.index(max(values))]['optimizer.lr']}"]
    for name in ("history.png", "parameters.png", "study.db"):
        assert (folder / name).stat().st_size > 0
    shown = [line.split("│")[1:3] for line in capsys.readouterr().out.splitlines() if "│" in line]
    in_order = sorted(range(4), key=lambda number: -values[number])
    assert [(int(a), b.strip()) for a, b in shown[-4:]] == [
        (number, f"{values[number]:.4f}") for number in in_order
    ]


def test_the_command_of_the_best_trains_to_the_value_that_the_search_saw(
    search: Search, tmp_path: Path
) -> None:
    found = best(search("search=learning_rate", LR % "0.003", "search.num_trials=3"))
    python, script, *overrides = shlex.split(found["command"])
    assert (python, script) == ("python", "src/train.py")
    assert not [name for name in overrides if "search" in name]
    metrics = train(compose_train(ROOT, [*overrides, f"run_dir={tmp_path / 'run'}"]))
    assert metrics["val/ndcg@10"] == found["val/ndcg@10"]
    assert "test/ndcg@10" in metrics


def test_the_command_of_the_best_of_a_sweep_trains_that_row_alone() -> None:
    given = ["experiment=table2/sasrec_id", "seed=1", "sweep=learning_rates", "data=scientific"]
    places = ["search.study=s", "search.dir=/s"]
    commands = read_search(tune_settings(compose_tune(*given, *places), given))
    assert commands.command({"optimizer.lr": 0.003}) == (
        "python src/train.py experiment=table2/sasrec_id data=scientific optimizer.lr=0.003 seed=1"
    )
    assert "sweep=learning_rates" not in commands.of_trial({}, seed=1, name="trial_0000")


def test_a_search_never_reads_the_test_split(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the test split was read")

    monkeypatch.setattr(SequenceDataModule, "test_dataloader", refuse)
    monkeypatch.setattr(Trainer, "test", refuse)
    rows = table(search("search=learning_rate", LR % "0.003", "search.num_trials=1"))
    assert [row["state"] for row in rows] == ["complete"]


def test_poisoned_test_targets_change_nothing(search: Search, tmp_path: Path) -> None:
    given = ["search=learning_rate", LR % "0.003,0.01"]
    expected = table(search(*given, folder="a"))
    clean, poisoned = tmp_path / "data" / "demo_office", tmp_path / "poisoned" / "demo_office"
    prepared = read_prepared(clean)
    items, last = prepared.items.copy(), prepared.offsets[1:] - 1
    items[last] = items[last] % 40 + 1
    with replace_folder(poisoned) as draft:
        write_domain(draft, replace(prepared, items=items))
        shutil.copytree(clean / "features", draft / "features")
    found = table(search(*given, f"paths.data_dir={tmp_path / 'poisoned'}", folder="b"))
    assert found == expected
    assert (clean / "interactions.parquet").read_bytes() != (
        poisoned / "interactions.parquet"
    ).read_bytes()


def interruption(tmp_path: Path, *, number: int) -> list[str]:
    """Settings that stop trial 1 in its second epoch, once."""
    kill = {
        "_target_": "kill_once.KillOnce",
        "trial": "trial_0001",
        "step": "9",
        "number": f"{number}",
        "marker": f"{tmp_path / 'was_killed'}",
    }
    return [
        "search=regularisation",
        "search.num_trials=3",
        QUICK[0],
        "search.sampler.n_startup_trials=2",
        "callbacks.latest.train_time_interval=null",
        "callbacks.latest.every_n_train_steps=2",
        *(f"+callbacks.kill.{key}={value}" for key, value in kill.items()),
    ]


def run_tune(*given: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "app")}
    return subprocess.run(
        [sys.executable, str(ROOT / "src" / "tune.py"), *given],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_a_search_that_is_killed_goes_on_to_what_it_would_have_found(
    search: Search, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = interruption(tmp_path, number=signal.SIGKILL)
    ended = run_tune(*arguments(tmp_path, *given, folder="killed"))
    assert ended.returncode == -signal.SIGKILL
    assert [row["state"] for row in table(tmp_path / "killed")] == ["complete"]

    search(*given, folder="killed")
    straight = search(*given, folder="straight")  # the marker is there now
    assert table(tmp_path / "killed") == table(straight)
    assert best(tmp_path / "killed") == best(straight)
    assert starts_with_curves(tmp_path / "killed", "trial_0001") == 2
    assert "holds no checkpoint yet" not in caplog.text


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_a_search_that_goes_on(search: Search, tmp_path: Path) -> None:
    given = interruption(tmp_path, number=signal.SIGINT)
    with pytest.raises(SystemExit) as stopped:
        search(*given, folder="stopped")
    assert stopped.value.code == 130
    assert [row["state"] for row in table(search(*given, folder="stopped"))] == ["complete"] * 3
    assert sorted(
        path.name for path in (tmp_path / "stopped" / "trial_0001" / "csv").iterdir()
    ) == [
        "version_0",
        "version_1",
    ]


def test_a_hopeless_trial_is_pruned_at_its_first_validation(search: Search) -> None:
    folder = search(
        "search=learning_rate",
        LR % "0.01,1e-9",
        "search/pruner=median",
        "search.pruner.n_startup_trials=1",
        "search.pruner.n_warmup_steps=0",
        "trainer.max_epochs=4",
    )
    rows = table(folder)
    assert [(row["state"], row["epochs"]) for row in rows] == [("complete", "4"), ("pruned", "1")]
    assert validations(folder, "trial_0001") == 1
    assert not (folder / "trial_0001" / "validation.json").exists()
    assert best(folder)["trial"] == 0


def test_two_workers_try_each_value_once(tmp_path: Path) -> None:
    rates = ["0.001", "0.002", "0.003", "0.004", "0.005", "0.006"]
    given = ["search=learning_rate", LR % ",".join(rates), "workers=2", *QUICK]
    result = run_tune(*arguments(tmp_path, *given))
    assert result.returncode == 0, result.stderr
    rows = table(tmp_path / "study")
    assert [row["optimizer.lr"] for row in rows] == rates
    assert [row["state"] for row in rows] == ["complete"] * 6
    assert result.stdout.count("trials so far") == 2
    assert result.stdout.count("┃ trial ┃") == 1


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(search: Search) -> None:
    folder = search("search=learning_rate", LR % "0.01,-1,1e30")
    rows = table(folder)
    assert [row["state"] for row in rows] == ["complete", "failed", "failed"]
    assert rows[1]["reason"] == "ValueError: optimizer.lr (-1) must be a number above 0"
    assert "the model has diverged" in rows[2]["reason"]
    assert "Traceback" in (folder / "trial_0002" / "error.txt").read_text()
    assert best(folder)["trial"] == 0
    assert not list(folder.rglob("*.ckpt"))


def test_a_search_without_a_completed_trial_ends_with_exit_code_1(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        search("search=learning_rate", LR % "1e29,1e30")
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "error: none of 2 trials completed: " in said
    assert "the model has diverged" in said


def test_a_trial_with_several_seeds_counts_with_their_mean(search: Search) -> None:
    folder = search("search=learning_rate", LR % "0.01", "search.seeds=[1,2]")
    values = [
        json.loads((folder / f"trial_0000_s{seed}" / "validation.json").read_text())["val/ndcg@10"]
        for seed in (1, 2)
    ]
    assert values[0] != values[1]
    assert float(table(folder)[0]["val/ndcg@10"]) == pytest.approx(sum(values) / 2, abs=1e-12)
    assert best(folder)["command"].startswith("python src/train.py -m ")
    assert best(folder)["command"].endswith(" seed=1,2")


def test_trials_share_a_pretraining_which_has_no_test_either(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(SequenceDataModule, "test_dataloader")
    stage = ["stages=self_supervised", "stages.0.experiment=demo"]
    folder = search("search=learning_rate", LR % "0.003,0.01", *stage)
    assert [row["state"] for row in table(folder)] == ["complete"] * 2
    (pretraining,) = (path.parent for path in folder.glob("demo_*/validation.json"))
    assert starts_with_curves(folder, pretraining.name) == 1
    assert not list(folder.rglob("metrics.json"))
    for trial in ("trial_0000", "trial_0001"):
        config = RunFolder(folder / trial).read_config()
        checkpoint = Path(config["stages"][0]["checkpoint"])
        assert checkpoint.resolve().is_relative_to(pretraining)


def test_a_finished_search_goes_on_when_it_may_have_more_trials(search: Search) -> None:
    given = ["search=regularisation", "search.keep_checkpoints=true"]
    first = table(search(*given, "search.num_trials=1"))
    folder = search(*given, "search.num_trials=2")
    assert table(folder)[:1] == first
    assert len(table(folder)) == 2
    assert len(list(folder.glob("trial_*/checkpoints/epoch_*.ckpt"))) == 2
    with pytest.raises(
        ValueError, match=r"another .*model\.temperature \(0\.075 there, 0\.2 here\); the command"
    ):
        search(*given, "model.temperature=0.2")


def test_no_trial_starts_when_the_time_is_up(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        search("search=learning_rate", "search.timeout_sec=0")
    assert "none of 0 trials completed: the time was up" in capsys.readouterr().err


def test_the_search_spaces_are_found() -> None:
    assert {path.stem for path in (ROOT / "conf" / "search").glob("*.yaml")} == set(SPACES)


@pytest.mark.parametrize("name", SPACES)
def test_a_search_space_fits_its_model(name: str, tmp_path: Path) -> None:
    given = [f"search={name}", f"model={SPACES[name]}", "logger=tensorboard"]
    given.append("callbacks.interpretation.num_central=3")
    cfg = compose_tune(*arguments(tmp_path, *given))
    asked = read_search(tune_settings(cfg, given))
    example = asked.of_trial(asked.search.example(), seed=3, name="trial")
    composed = compose_train(ROOT, [*example, "names.model=x", "run_dir=."])
    assert composed.seed == 3
    for key, value in asked.search.example().items():
        assert OmegaConf.select(composed, key) == value
    assert set(composed.logger) == {"csv", "tensorboard"}
    assert not composed.trainer.enable_progress_bar
    assert composed.callbacks.interpretation.num_central == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["search.metric=test/ndcg@10"],
            r"search.metric \(test/ndcg@10\) must be one of val/ndcg@5",
        ),
        (["search.metric=val/ndcg@7"], "must be one of val/ndcg@5"),
        (["search.num_trials=0"], r"search.num_trials \(0\) must be at least 1, or null"),
        (["search.seeds=[]"], "search.seeds is empty"),
        (["resume=logs/x"], "goes on when its command is repeated"),
        (["workers=-1"], r"workers \(-1\) must be at least 1"),
        (["trainer.devices=2"], r"trainer.devices \(2\): a trial trains on one device"),
        (["trainer.devices=auto"], r"trainer.devices \(auto\): a trial trains on one device"),
        (["search=interests", "search.num_trials=null"], "null is for spaces of choices alone"),
        (["search=interests", "search/sampler=grid"], "ratio has no list of choices, which a grid"),
        (["+search.sampler.depth=1"], r"search\.sampler: .*unexpected keyword argument 'depth'"),
        (["search/pruner=median", "+search.pruner.depth=1"], "unexpected keyword argument 'depth'"),
        (["+search.space.lr=0.1"], "search.space: lr"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_written(
    search: Search, tmp_path: Path, given: list[str], said: str
) -> None:
    with pytest.raises((ValueError, HydraException), match=said):
        search(*given)
    assert not (tmp_path / "study").exists()


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    space = "+search.space={model.depth:{choices:[1]}}"
    result = call("tune", f"paths.log_dir={tmp_path}", space)
    assert result.code == 2, result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert "model.depth" in line


def test_help_shows_an_example() -> None:
    result = call("tune", "--help")
    assert result.code == 0
    assert "python src/tune.py search=" in result.stdout


def test_workers_share_out_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    devices = [worker_environment(worker, 3)["CUDA_VISIBLE_DEVICES"] for worker in range(3)]
    assert devices == ["3", "5", "3"]
