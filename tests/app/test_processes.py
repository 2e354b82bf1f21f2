"""Runs of two processes: sweeps, deaths, resumes, launchers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from conftest import ALWAYS, OFFICE, ROOT, Compose
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import DummyLogger
from torch import nn
from torch.distributed import TCPStore

from missrec.app.train import build_trainer
from missrec.app.trial import fit_and_validate
from missrec.tracking.csv import CSVTracker
from missrec.training.strategies.ddp import SameConfig, working
from missrec.training.strategies.fsdp import ShardedTables
from missrec.training.strategies.launcher import hold_port
from run_settings import as_run

LIMIT_SEC = 240
"""More than a slow machine takes; processes that wait for each other would never end."""
TRAIN = [sys.executable, str(ROOT / "src" / "train.py")]
EPOCH = 6
"""Steps of an epoch."""


def start(command: list[str], *arguments: str, **variables: str) -> subprocess.Popen[str]:
    paths = f"{ROOT / 'src'}:{ROOT / 'tests' / 'app'}"
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **variables},
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code and output; a process that does not end is killed with its children."""
    try:
        out, err = process.communicate(timeout=LIMIT_SEC)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("the processes wait for each other: " + process.communicate()[1])
    return process.returncode, out, err


def settings(data_dir: Path) -> list[str]:
    return [
        *(ALWAYS + OFFICE),
        f"paths.data_dir={data_dir}",
        "trainer=ddp_cpu",
        "trainer.strategy.timeout_sec=120",
        "trainer.max_epochs=2",
        "callbacks.latest.train_time_interval=null",
        "callbacks.latest.every_n_train_steps=2",
        "+callbacks.note._target_=note_process.NoteProcess",
        "+callbacks.note.folder=${run_dir}",
    ]


def notes(run_dir: Path) -> list[dict[str, Any]]:
    """What each of the two processes noted."""
    return [json.loads((run_dir / f"process_{index}.json").read_text()) for index in (0, 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def running_sweep(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Two jobs, one after the other; the learning rate is drawn when a config is composed."""
    drawn = 'optimizer.lr="${oc.decode:0.00${now:%f}}"'
    places = [f"hydra.sweep.dir={folder / 'sweep'}", "hydra.sweep.subdir=${hydra:job.num}"]
    jobs = start(TRAIN, "-m", "+names.trial=0,1", drawn, *settings(folder / "data"), *places)
    yield jobs
    jobs.kill()


@pytest.fixture(scope="module")
def sweep(running_sweep: subprocess.Popen[str], folder: Path) -> tuple[Path, str]:
    """The folder of the sweep and what it said."""
    code, out, err = end(running_sweep)
    assert code == 0, err
    return folder / "sweep", out + err


@pytest.fixture(scope="module")
def killed(running_sweep: subprocess.Popen[str], folder: Path) -> Path:
    """A run like the first job; its second process is ended, and, once resumed, the first one."""
    first = folder / "sweep" / "0" / "config.yaml"
    until = time.monotonic() + LIMIT_SEC
    while not (first.is_file() and "\n  trial:" in first.read_text()):
        assert running_sweep.poll() is None, running_sweep.communicate()
        assert time.monotonic() < until
        time.sleep(0.2)
    rate = yaml.safe_load(first.read_text())["optimizer"]["lr"]
    run_dir = folder / "killed"
    code, _, err = end(
        start(
            TRAIN,
            *settings(folder / "data"),
            "+names.trial=0",
            f"optimizer.lr={rate}",
            f"hydra.run.dir={run_dir}",
            f"run_dir={os.path.relpath(run_dir)}",  # the other process is told the whole path
            "+callbacks.kill._target_=kill_at_step.KillAtStep",
            f"+callbacks.kill.step={EPOCH // 2}",
            "+callbacks.kill.process=1",
            f"+callbacks.kill.signum={signal.SIGTERM.value}",
        )
    )
    assert code == 1
    assert err.strip().endswith("RuntimeError: process 1 of 0..1 was ended by signal 15")
    assert not (run_dir / "metrics.json").exists()

    kill = {"step": EPOCH + 3, "process": 0, "signum": signal.SIGKILL.value}
    kill_first = [f"callbacks.kill.{key}={value}" for key, value in kill.items()]
    code, _, _ = end(start(TRAIN, f"resume={run_dir}", "trust=true", *kill_first))
    assert code == -signal.SIGKILL
    assert not (run_dir / "metrics.json").exists()
    second = notes(run_dir)[1]["pid"]
    until = time.monotonic() + 30
    while Path(f"/proc/{second}").exists():
        assert time.monotonic() < until, "the second process goes on without the first"
        time.sleep(0.2)
    return run_dir


@pytest.mark.slow
def test_killed_processes_end_a_job_and_its_resume_by_torchrun_ends_as_if_nothing_had_been(
    killed: Path, sweep: tuple[Path, str]
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    goes_on = (f"resume={killed}", "trust=true", "~callbacks.kill")
    code, _, err = end(start([*torchrun, TRAIN[1]], *goes_on))
    assert code == 0, err
    straight = sweep[0] / "0"
    assert (killed / "metrics.json").read_bytes() == (straight / "metrics.json").read_bytes()
    ranks = [pl.read_parquet(run / "test_ranks_demo_office.parquet") for run in (killed, straight)]
    assert ranks[0].equals(ranks[1])
    weights = {note["weights"] for run in (killed, straight) for note in notes(run)}
    assert len(weights) == 1


@pytest.mark.slow
def test_both_processes_of_each_job_of_a_sweep_train_with_what_was_drawn_for_it(
    sweep: tuple[Path, str],
) -> None:
    jobs = [notes(sweep[0] / str(number)) for number in range(2)]
    for first, second in jobs:
        assert first["pid"] != second["pid"]
        assert first["lr"] == second["lr"]
        assert first["weights"] == second["weights"]
    assert len({first["lr"] for first, _ in jobs}) == 2


@pytest.mark.slow
def test_the_first_process_alone_writes_and_speaks(sweep: tuple[Path, str]) -> None:
    folder, said = sweep
    for number in range(2):
        run_dir = folder / str(number)
        assert {path.name for path in run_dir.iterdir()} == {
            ".hydra",
            ".writer.lock",
            "checkpoints",
            "config.yaml",
            "csv",
            "interests",
            "items.parquet",
            "metrics.json",
            "process_0.json",
            "process_1.json",
            "provenance.json",
            "test_lists_demo_office.parquet",
            "test_ranks_demo_office.parquet",
            "train.log",
        }
        assert [path.name for path in (run_dir / "csv").iterdir()] == ["version_0"]
        assert len(pl.read_parquet(run_dir / "test_ranks_demo_office.parquet")) == 60
        log = (run_dir / "train.log").read_text()
        assert log.count("parameters train") == 1
    assert said.count("parameters train") == 2
    assert "Warning" not in said, said


def started_outside(how: str, *arguments: str, own: Sequence[str] = ("", "")) -> list[Any]:
    """Two processes as two machines start them, each with an argument of its own where named."""
    machines = [*arguments, "trainer.devices=1", "trainer.num_nodes=2"]
    held = hold_port(0)
    port = held.getsockname()[1]
    started = []
    for index, argument in enumerate(own):
        command, variables = [*TRAIN, *machines, *filter(None, [argument])], {}
        if how == "torchrun":
            launch = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=test"]
            launch += [f"--rdzv-endpoint=127.0.0.1:{port}", f"--local-addr=127.0.0.{index + 1}"]
            command = [sys.executable, "-m", "torch.distributed.run", *launch, *command[1:]]
        else:
            variables = {"SLURM_PROCID": str(index), "SLURM_NODEID": str(index)}
            variables |= {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2"}
            variables |= {"SLURM_LOCALID": "0", "SLURM_NODELIST": "localhost"}
            variables |= {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "test", "MASTER_PORT": str(port)}
        started.append(start(command, **variables))
    with held:
        return [end(process) for process in started]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["torchrun", "slurm"])
def test_two_machines_give_what_two_processes_of_one_give(
    sweep: tuple[Path, str], folder: Path, how: str
) -> None:
    straight = sweep[0] / "0"
    rate = yaml.safe_load((straight / "config.yaml").read_text())["optimizer"]["lr"]
    run_dir = folder / how
    own = [*settings(folder / "data"), "+names.trial=0", f"optimizer.lr={rate}"]
    for code, _, err in started_outside(how, *own, f"hydra.run.dir={run_dir}"):
        assert code == 0, err
    assert (run_dir / "metrics.json").read_bytes() == (straight / "metrics.json").read_bytes()
    assert {note["weights"] for run in (run_dir, straight) for note in notes(run)} == {
        notes(straight)[0]["weights"]
    }


@pytest.mark.slow
def test_machines_that_were_told_different_things_stop(
    sweep: tuple[Path, str], folder: Path
) -> None:
    own = [*settings(folder / "data"), f"hydra.run.dir={folder / 'different'}"]
    rates = ("optimizer.lr=0.01", "optimizer.lr=0.02")
    for code, _, err in started_outside("slurm", *own, own=rates):
        assert code == 2
        assert "error: the processes run different configs: lr: 0.0" in err
    assert not (folder / "different" / "metrics.json").exists()


def test_another_process_has_no_loggers(
    compose_tiny: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = build_trainer(as_run(compose_tiny()))
    assert [type(logger) for logger in trainer.loggers] == [CSVTracker]
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    trainer = build_trainer(as_run(compose_tiny("trainer=ddp_cpu")))
    assert [type(logger) for logger in trainer.loggers] == [DummyLogger]


def test_processes_with_different_configs_stop_with_what_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everyone = [["seed: 1", "optimizer:", f"  lr: {rate}"] for rate in (0.1, 0.2)]
    first = SameConfig(everyone[0])
    monkeypatch.setattr("missrec.training.strategies.ddp.gather_objects", lambda own: everyone)
    said = r"different configs: lr: 0\.2 in process 1, lr: 0\.1 here"
    with pytest.raises(ValueError, match=said):
        first.setup(SimpleNamespace(), SimpleNamespace(), "fit")  # type: ignore[arg-type]
    everyone[1] = everyone[0]
    first.setup(SimpleNamespace(), SimpleNamespace(), "fit")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("overrides", "environment", "said"),
    [
        (["trainer.devices=2"], {}, r"DDPStrategy is not supported for 2 processes"),
        (
            ["trainer=fsdp", "trainer.precision=32-true", "trainer.gradient_clip_val=1.0"],
            {},
            r"gradient_clip_val \(1.0\) must be None where tables are sharded",
        ),
        (
            [],
            {"WORLD_SIZE": "2"},
            "one of several processes, but the trainer is for one; unset the variable",
        ),
    ],
)
def test_what_several_processes_cannot_do_is_refused(
    compose_tiny: Compose,
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    environment: dict[str, str],
    said: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=said):
        build_trainer(as_run(compose_tiny(*overrides)))


def test_a_rank_left_in_the_environment_is_refused(
    compose_tiny: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # which Lightning reads from SLURM_PROCID
    with pytest.raises(ValueError, match=r"SLURM_PROCID says .* unset the variable"):
        build_trainer(as_run(compose_tiny()))


def test_no_other_program_is_given_the_port_at_which_the_processes_meet(
    compose_tiny: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = build_trainer(as_run(compose_tiny("trainer=ddp_cpu"))).strategy.launcher
    other = subprocess.Popen(["sleep", "60"])
    monkeypatch.setattr(
        "missrec.training.strategies.launcher.subprocess.Popen", lambda *_, **__: other
    )

    def meet() -> None:
        port = int(os.environ["MASTER_PORT"])
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("", port))
        TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)

    try:
        launcher.launch(meet)
        port = int(os.environ["MASTER_PORT"])
    finally:
        launcher.end(wait_sec=0)
    with socket.socket() as stranger:
        stranger.bind(("", port))
        stranger.listen()
        monkeypatch.setenv("MASTER_PORT", str(port))
        with pytest.raises(OSError, match=rf"MASTER_PORT \({port}\) cannot be had: Address"):
            launcher.launch(meet)


@pytest.mark.parametrize("in_work", [True, False])
def test_the_death_of_another_process_costs_no_finished_work(
    compose_tiny: Compose, caplog: pytest.LogCaptureFixture, in_work: bool
) -> None:
    trainer = build_trainer(as_run(compose_tiny("trainer=ddp_cpu")))
    died = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    trainer.strategy.launcher.procs = [died]
    said = r"process 1 of 0\.\.1 failed with code 3"
    expected = pytest.raises(RuntimeError, match=said) if in_work else nullcontext()
    with expected, working(trainer):
        died.wait()
        if in_work:
            raise RuntimeError("of the collective")
    assert in_work or re.search(f"{said}, after the work was done", caplog.text)


def test_a_trial_of_a_search_is_one_process(compose_tiny: Compose) -> None:
    with pytest.raises(ValueError, match="a trial is one process, not 2"):
        fit_and_validate(as_run(compose_tiny("trainer=ddp_cpu")))


def test_sharded_tables_that_train_alone_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("init_device_mesh", "fully_shard"):
        monkeypatch.setattr(f"missrec.training.strategies.fsdp.{name}", lambda *_, **__: None)
    strategy = ShardedTables(command=[], timeout_sec=1, tables=["item_embeddings"])
    strategy.parallel_devices = [torch.device("cpu")]
    strategy._local_rank = 0
    module = nn.ModuleDict({"model": nn.ModuleDict({"item_embeddings": nn.Embedding(3, 2)})})
    with pytest.raises(ValueError, match="nothing trains beside the tables that are sharded"):
        strategy._setup_model(module)


def test_several_machines_need_a_launcher(compose_tiny: Compose) -> None:
    trainer = build_trainer(as_run(compose_tiny("trainer=ddp_cpu", "trainer.num_nodes=2")))
    assert trainer.world_size == 4
    with pytest.raises(ValueError, match="several machines need torchrun or srun"):
        trainer.strategy.launcher.launch(lambda: None)
