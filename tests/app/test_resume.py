from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from conftest import ALWAYS, OFFICE, ROOT, Compose
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint

from doors import call
from missrec.app.command_line.arguments import resume_arguments
from missrec.app.session import continued
from missrec.app.train import build_trainer, train, train_run
from missrec.training.callbacks import MidEpochCheckpoint
from run_settings import as_run
from synthetic import demo_source_sizes


@pytest.mark.parametrize("name", ["run", "it's run [1], {of 2}"])
def test_resume_takes_the_saved_config_and_the_same_folder(tmp_path: Path, name: str) -> None:
    run_dir = tmp_path / name
    run_dir.mkdir()
    (run_dir / "config.yaml").write_text("seed: 4\nrun_dir: /elsewhere\nnames: {model: a}\n")
    arguments = resume_arguments([f"resume={run_dir}", "trainer.max_epochs=5"])
    assert arguments[0] == "--config-name=saved_config"
    stored = ConfigStore.instance().load("saved_config.yaml").node
    assert (stored.seed, stored.run_dir) == (4, str(run_dir))
    parsed = OverridesParser.create().parse_overrides(arguments[1:])
    assert {one.key_or_group: one.value() for one in parsed} == {
        "hydra.run.dir": str(run_dir),
        "hydra.output_subdir": None,
        "hydra.job.name": "train",
        "resume": str(run_dir),
        "trainer.max_epochs": 5,
    }


def test_arguments_without_resume_stay_as_they_are() -> None:
    assert resume_arguments(["seed=1", "resume=null"]) == ["seed=1", "resume=null"]


def test_checkpoints_inside_an_epoch_do_not_choose_the_epoch_to_test(
    compose_tiny: Compose,
) -> None:
    trainer = build_trainer(as_run(compose_tiny()))
    best, latest = trainer.checkpoint_callbacks
    assert trainer.checkpoint_callback is best
    assert isinstance(best, ModelCheckpoint)
    assert best.monitor == "val/ndcg@10"
    assert isinstance(latest, MidEpochCheckpoint)
    assert latest._train_time_interval == timedelta(minutes=10)


@pytest.mark.slow
def test_a_run_resumed_from_its_last_checkpoint_equals_one_that_never_stopped(
    compose_tiny: Compose, tmp_path: Path
) -> None:
    straight = train(compose_tiny("trainer.max_epochs=4", run="straight"))
    train(compose_tiny("trainer.max_epochs=2", run="stopped"))
    resume = f"resume={tmp_path / 'logs' / 'stopped'}"
    resumed = train(compose_tiny("trainer.max_epochs=4", resume, run="stopped"))
    assert resumed == straight


def run_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "app")}
    return subprocess.run(
        [sys.executable, str(ROOT / "src" / "train.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


PRETRAINING = (
    "experiment=pretrain",
    "model.embed_dim=8",
    *demo_source_sizes(num_users=40, num_items=25),
    "datamodule.batch_size=124",
)
"""Three domains, features that are augmented twice, and two views."""


@pytest.mark.slow
@pytest.mark.parametrize("base", [OFFICE, PRETRAINING], ids=["target", "pretraining"])
def test_a_process_killed_at_a_random_step_and_resumed_writes_the_same_metrics(
    tmp_path: Path, base: tuple[str, ...]
) -> None:
    step = random.randint(1, 17)  # of 18: six batches in each of three epochs
    settings = [
        *(ALWAYS + base),
        f"paths.data_dir={tmp_path / 'data'}",
        "trainer.max_epochs=3",
        "callbacks.latest.train_time_interval=null",
        "callbacks.latest.every_n_train_steps=2",
    ]
    straight, killed = (
        [*settings, f"run_dir={tmp_path / name}", f"hydra.run.dir={tmp_path / name}"]
        for name in ("straight", "killed")
    )
    assert call("train", *straight).code == 0
    kill = ["+callbacks.kill._target_=kill_at_step.KillAtStep", f"+callbacks.kill.step={step}"]
    ended = run_process(*killed, *kill)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not (tmp_path / "killed" / "metrics.json").exists()

    resumed = call("train", f"resume={tmp_path / 'killed'}", "~callbacks.kill")
    assert resumed.code == 0, resumed.stderr
    expected, found = (
        (tmp_path / run / "metrics.json").read_bytes() for run in ("straight", "killed")
    )
    assert found == expected, f"killed at step {step}"
    said = "holds no checkpoint yet" in resumed.stdout + resumed.stderr
    assert said == (step < 2), f"killed at step {step}"


@pytest.mark.slow
def test_a_stopped_run_is_ended_where_it_stands_and_with_nothing_else_changed(
    tmp_path: Path,
) -> None:
    run_dir = tmp_path / "stopped"
    settings = [
        *(ALWAYS + OFFICE),
        f"paths.data_dir={tmp_path / 'data'}",
        "callbacks.latest.train_time_interval=null",
        "callbacks.latest.every_n_train_steps=2",
        f"run_dir={run_dir}",
        f"hydra.run.dir={run_dir}",
    ]
    kill = ["+callbacks.kill._target_=kill_at_step.KillAtStep", "+callbacks.kill.step=15"]
    assert run_process(*settings, "trainer.max_epochs=9", *kill).returncode == -signal.SIGKILL
    resume = [f"resume={run_dir}", "trust=true"]
    for changed in (["trainer.max_epochs=1"], ["trainer.max_epochs=2", "optimizer.lr=0.5"]):
        refused = call("train", *resume, *changed)
        assert refused.code == 2
        assert "trainer.max_epochs=2 alone ends the run" in refused.stderr
    ended = call("train", *resume, "trainer.max_epochs=2")
    assert ended.code == 0, ended.stderr
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert metrics["epochs"] == 2
    assert "test/ndcg@10" in metrics


MODELS = sorted(
    {path.stem for path in (ROOT / "conf" / "model").glob("*.yaml")}
    - {"missrec", "missrec_released"}
)
"""Of MISSRec the smallest; also those that have nothing to train."""


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_run_of_any_model_resumed_after_an_epoch_ends_as_one_that_never_stopped(
    compose_tiny: Compose, tmp_path: Path, model: str
) -> None:
    sizes = tuple(override for override in OFFICE if not override.startswith("model."))

    def composed(run: str, *, epochs: int) -> DictConfig:
        chosen = (f"model={model}", "stages=none", f"trainer.max_epochs={epochs}")
        cfg = compose_tiny(*chosen, base=sizes, run=run)
        if "embed_dim" in cfg.model:
            cfg.model.embed_dim = 8
        return cfg

    straight = train(composed("straight", epochs=2))
    train(composed("resumed", epochs=1))
    resumed = train_run(continued(as_run(composed("resumed", epochs=2))))
    assert resumed == straight
    ranks = [
        pl.read_parquet(tmp_path / "logs" / run / "test_ranks_demo_office.parquet")
        for run in ("straight", "resumed")
    ]
    assert len(ranks[0]) == 60
    assert ranks[0].equals(ranks[1])
