from __future__ import annotations

import copy
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import CaptureResult
from conftest import ROOT, Compose
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from doors import Ended, call
from missrec.app import gpus
from missrec.app.command_line.leftovers import AT_END
from missrec.app.gpus import claim_gpu, visible_gpus
from missrec.app.settings import read_run
from missrec.app.sweep import SweepTable, run_job, sweep_arguments
from missrec.app.train import train
from missrec.runs.format import versioned
from missrec.runs.locks import RunBusyError, only_writer
from run_folders import record_run, run_config

SWEEPS = sorted(path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml"))


def end_of_sweep(folder: Path) -> None:
    places = {"paths": {"log_dir": str(folder.parent)}}
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}, "job": {"name": "train"}}})
    config = OmegaConf.merge(config, places)
    SweepTable(keys=["test/recall@10", "test/ndcg@10"]).on_multirun_end(config)


def end_of_incomplete_sweep(folder: Path, capsys: pytest.CaptureFixture[str]) -> CaptureResult[str]:
    """What it says, with exit code 1."""
    with pytest.raises(SystemExit) as ended:
        end_of_sweep(folder)
    assert ended.value.code == 1
    return capsys.readouterr()


def job(folder: Path, *overrides: str) -> Path:
    """A job folder as Hydra leaves it."""
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(list(overrides), folder / ".hydra" / "overrides.yaml")
    return folder


def finish(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps({"test/recall@10": 0.25}))


def first_cells(output: str, containing: str) -> list[str]:
    return [line.split("│")[1].strip() for line in output.splitlines() if containing in line]


def test_jobs_come_by_number_and_what_they_share_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("10_c", "2_b", "shared", "0_a"):
        finish(tmp_path / name)
    (tmp_path / "1_unfinished").mkdir()
    end_of_sweep(tmp_path)
    assert first_cells(capsys.readouterr().out, "0.2500") == ["0_a", "2_b", "10_c", "shared"]


def test_a_job_is_named_by_what_the_others_do_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, seed in enumerate((1, 2)):
        finish(job(tmp_path / f"{number}_x", "experiment=demo", f"seed={seed}"))
    end_of_sweep(tmp_path)
    assert first_cells(capsys.readouterr().out, "0.2500") == ["0 seed=1", "1 seed=2"]


def test_failed_jobs_are_listed_and_the_command_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(job(tmp_path / "0_x", "seed=1"))
    failed = job(tmp_path / "1_x", "seed=2")
    (failed / "error.txt").write_text("Traceback\n  ...\nValueError: lr [bold](3) is too high\n")
    output = end_of_incomplete_sweep(tmp_path, capsys)
    assert first_cells(output.out, "ValueError: lr [bold](3) is too high") == ["1 seed=2"]
    assert "1 of the jobs failed, 0 have not finished; the same command does them; " in output.err


def test_a_job_that_is_not_done_is_named_and_the_command_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(job(tmp_path / "0_x", "seed=1"))
    job(tmp_path / "1_x", "seed=2")
    (tmp_path / "pretraining_of_both").mkdir()
    output = end_of_incomplete_sweep(tmp_path, capsys)
    assert first_cells(output.out, "not finished: its process") == ["1 seed=2"]
    assert "0 of the jobs failed, 1 have not finished; the same command does them\n" in output.err


def test_a_sweep_that_is_broken_off_tells_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = OmegaConf.create(
        {
            "hydra": {"sweep": {"dir": str(tmp_path / "sweep")}, "job": {"name": "train"}},
            "paths": {"log_dir": str(tmp_path)},
        }
    )
    table = SweepTable(keys=["test/recall@10"])
    with AT_END:
        table.on_multirun_start(config)
    assert capsys.readouterr() == ("", "")  # before any job
    with AT_END:
        table.on_multirun_start(config)
        finish(job(tmp_path / "sweep" / "0_x", "seed=1"))
    assert first_cells(capsys.readouterr().out, "0.2500") == ["0_x"]


def test_where_nothing_can_be_locked_a_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock._unix.fcntl.flock", refuse)
    with only_writer(tmp_path / "run"), only_writer(tmp_path / "run", waits=True):
        assert (tmp_path / "run").is_dir()
    assert "cannot be locked ([Errno 37] No locks available)" in caplog.text


@pytest.mark.slow
def test_a_job_that_another_command_works_on_is_passed_over(tmp_path: Path) -> None:
    run_dir = tmp_path / "sweep" / "0"
    places = [f"hydra.sweep.dir={run_dir.parent}", "hydra.sweep.subdir=${hydra:job.num}"]
    with only_writer(run_dir):
        busy = launch(tmp_path, "seed=1", *places)  # of this process the lock is its own
    assert busy.returncode == 1
    assert f"passed over: another process writes into {run_dir}" in busy.stdout
    assert first_cells(busy.stdout, "not finished: its process was ended") == ["0"]
    assert {path.name for path in run_dir.iterdir()} <= {".hydra", ".writer.lock", "train.log"}


def test_a_run_that_another_command_works_on_is_refused(compose_tiny: Compose) -> None:
    cfg = compose_tiny()
    hold = (
        "import sys; from pathlib import Path; from missrec.runs.locks import only_writer\n"
        "with only_writer(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, cfg.run_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert other.stdout is not None
    other.stdout.readline()
    said = r"another process writes into .*/run; if none does, delete \.writer\.lock there"
    with pytest.raises(RunBusyError, match=said):
        train(cfg)
    other.kill()  # the lock ends with the process
    other.communicate()
    with only_writer(Path(cfg.run_dir)):
        pass


def folder_of(arguments: list[str]) -> str:
    named = [argument for argument in arguments if argument.startswith("hydra.sweep.dir=")]
    return named[0].rpartition("/")[2] if named else ""


def test_a_multirun_gets_a_folder_that_only_the_same_command_has() -> None:
    command = ["-m", "experiment=demo", "seed=1,2"]
    folder = folder_of(sweep_arguments(command))
    assert folder.startswith("demo-")
    assert f"names.group={folder}" in sweep_arguments(command)
    assert folder_of(sweep_arguments(["experiment=demo", "seed=1,2", "--multirun"])) == folder
    assert folder_of(sweep_arguments(["-m", "experiment=demo", "seed=1,3"])) != folder
    assert folder_of(sweep_arguments(["sweep=table3"])).startswith("table3-")
    assert folder_of(sweep_arguments(["-m", "experiment=a,b"])).startswith("sweep-")


@pytest.mark.parametrize(
    ("named", "group"),
    [
        ("logs/mine", "mine"),
        ("'logs/lr=1, \\'twice\\''", "lr=1, 'twice'"),
        (".", Path.cwd().name),
    ],
)
def test_a_named_folder_is_kept_and_names_the_group(named: str, group: str) -> None:
    added, *kept = sweep_arguments(["seed=1,2", f"hydra.sweep.dir={named}", "-m"])
    assert kept == ["seed=1,2", f"hydra.sweep.dir={named}", "-m"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert compose("train", overrides=[added]).names.group == group


def test_overrides_stay_together_where_hydra_looks_for_them() -> None:
    arguments = sweep_arguments(["-m", "seed=1,2", "--cfg", "hydra"])
    assert arguments[0] == "-m"
    assert arguments[3:] == ["seed=1,2", "--cfg", "hydra"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["experiment=demo"],
        ["sweep=none"],
        ["-m", "seed=1,2", "++hydra.sweep.dir=logs/mine", "++names.group=own"],
        ["-m", "seed=1,2", "hydra.sweep.dir=logs/${now:%H/%M}"],
        [],
    ],
)
def test_other_commands_stay_as_they_are(arguments: list[str]) -> None:
    assert sweep_arguments(arguments) == arguments


def test_the_sweeps_are_found() -> None:
    assert set(SWEEPS) >= {"none", "seeds", "table2", "table3", "table4", "table5"}


@pytest.mark.parametrize("sweep", [name for name in SWEEPS if name != "none"])
def test_what_a_sweep_varies_exists(sweep: str) -> None:
    params = OmegaConf.load(ROOT / "conf" / "sweep" / f"{sweep}.yaml").hydra.sweeper.params
    for key, values in params.items():
        for value in map(str.strip, str(values).split(",")):
            pattern = value.removeprefix("glob(").removesuffix(")")
            assert pattern == value or "/" not in pattern  # Hydra looks into no folder of a group
            if (ROOT / "conf" / str(key)).is_dir():
                assert list((ROOT / "conf" / str(key)).glob(f"{pattern}.yaml")), (key, value)


def test_every_row_of_table_2_is_in_its_sweep() -> None:
    params = OmegaConf.load(ROOT / "conf" / "sweep" / "table2.yaml").hydra.sweeper.params
    rows = [path.stem for path in (ROOT / "conf" / "experiment" / "table2").glob("*.yaml")]
    assert sorted(params.experiment.replace(" ", "").split(",")) == sorted(
        f"table2/{row}" for row in rows
    )


def test_one_command_searches_the_papers_learning_rates_for_every_row_of_table_2() -> None:
    """Ours and the others alike: none has a rate of its own."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        asked = compose("tune", ["sweep=learning_rates"], return_hydra_config=True)
        rows = asked.hydra.sweeper.params.experiment.replace(" ", "").split(",")
        found = [
            compose("train", ["sweep=learning_rates", f"experiment={row}"]).optimizer.lr
            for row in rows
        ]
    assert asked.hydra.mode.name == "MULTIRUN"
    assert asked.hydra.sweeper.params.seed == "1"
    assert asked.search.space == {"optimizer.lr": {"choices": [3e-4, 1e-3, 3e-3, 1e-2]}}
    assert found == [0.001] * 11


def test_a_sweep_without_a_job_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "multirun.yaml").touch()
    with pytest.raises(SystemExit) as ended:
        end_of_sweep(tmp_path)
    assert ended.value.code == 2
    assert "the sweep has no job" in capsys.readouterr().err


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_sweep_that_could_not_begin_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_begun: bool
) -> None:
    folder = tmp_path / "sweep"
    for number, reason in enumerate(("lr is wrong", "seed is wrong")):
        (job(folder / f"{number}_a", f"seed={number}") / "error.txt").write_text(
            f"mistake: {reason}\n"
        )
    (folder / "multirun.yaml").touch()
    if is_begun:
        finish(folder / "2_a")
    with pytest.raises(SystemExit) as ended:
        end_of_sweep(folder)
    assert ended.value.code == (1 if is_begun else 2)
    said = capsys.readouterr()
    assert ("none of 2 jobs can begin; the first: lr is wrong" in said.err) != is_begun
    assert ("seed is wrong" in said.out) == is_begun
    assert folder.exists() == is_begun


def test_claimed_gpus_are_distinct_among_processes_and_kept_within_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(gpus.tempfile, "tempdir", None)
    monkeypatch.setattr(gpus, "_claimed", None)
    claim = "from missrec.app.gpus import claim_gpu; print(claim_gpu(), claim_gpu())"
    assert claim_gpu() == "5"
    assert claim_gpu() == os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "5,7", "PYTHONPATH": str(ROOT / "src")}
    other = subprocess.run(
        [sys.executable, "-c", claim], capture_output=True, text=True, check=True, env=environment
    )
    assert other.stdout.split() == ["7", "7"]
    environment["CUDA_VISIBLE_DEVICES"] = "5"
    third = subprocess.run(
        [sys.executable, "-c", claim], capture_output=True, text=True, check=False, env=environment
    )
    assert "each of the 1 GPUs is taken by another job" in third.stderr
    assert gpus._claimed is not None
    gpus._claimed.release()


@pytest.mark.parametrize(("named", "seen"), [("", []), ("3", ["3"]), ("0,GPU-8a", ["0", "GPU-8a"])])
def test_gpus_are_those_that_the_environment_shows(
    monkeypatch: pytest.MonkeyPatch, named: str, seen: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == seen


def launcher_config(launcher: str) -> OmegaConf:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides=[f"hydra/launcher={launcher}"], return_hydra_config=True)


def test_the_queue_of_gpus_starts_a_job_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    cfg = launcher_config("gpus")
    assert cfg.hydra.launcher.n_jobs == 3
    assert cfg.claim_gpu is True


def test_slurm_jobs_take_one_gpu_each() -> None:
    launcher = launcher_config("slurm").hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.gpus_per_node, launcher.tasks_per_node) == (1, 1)


@pytest.fixture
def repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`repeat(saved, asked)`: `finished` or why not, of a job whose folder holds a finished run."""

    def run(saved: dict[str, Any], asked: dict[str, Any]) -> str:
        folder = tmp_path / "sweep" / "0"
        shutil.rmtree(folder, ignore_errors=True)
        record_run(folder, saved, [1.0])
        here = json.loads(json.dumps(asked).replace('"/run', f'"{folder}'))
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose("train", overrides=["hydra.mode=MULTIRUN"], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        run_job(lambda: read_run(here), run_dir=folder, claims_gpu=False, debug=False)
        error = folder / "error.txt"
        return error.read_text().splitlines()[-1] if error.exists() else "finished"

    monkeypatch.setattr("missrec.app.train.train_run", pytest.fail)
    monkeypatch.setattr(
        "missrec.app.trained.same_data.check_finished", lambda *_, **__: None
    )  # of the data
    return run


def test_a_job_that_is_asked_for_again_elsewhere_has_finished(repeat: Callable[..., str]) -> None:
    saved = run_config("data=scientific", "trainer=ddp_cpu", "stages=demo_pretrain")
    asked = copy.deepcopy(saved)
    saved = json.loads(json.dumps(saved).replace(str(ROOT), "/old/place"))
    source = "/old/place/logs/sweeps/x/demo_pretrain_0123abcd/checkpoints/epoch_001.ckpt"
    saved["stages"][-1]["checkpoint"] = source
    saved = versioned(saved)
    del asked["trainer"]["strategy"]
    asked["datamodule"] |= {"num_workers": 3, "batch_size": 512.0}
    asked["logger"] = {"csv": {"save_dir": "there"}}
    assert repeat(saved, asked) == "finished"
    del saved["split"], saved["datamodule"]["split"]  # as before there was a choice
    assert repeat(saved, asked) == "finished"


def test_a_job_that_is_to_be_overwritten_is_replaced_not_gone_on_with(
    repeat: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Any] = []
    monkeypatch.setattr("missrec.app.train.train_run", trained.append)
    saved = run_config("data=scientific")
    assert repeat(saved, saved | {"overwrite": True}) == "finished"
    assert [(run.resume, run.overwrite) for run in trained] == [(False, True)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer__lr": 0.1}, r"differ in optimizer\.lr \(0\.001 there, 0\.1 here\); delete it"),
        ({"seed": 7}, r"differ in datamodule\.seed \(1 .*, 7 here\), seed \(1 there, 7 here\); "),
        ({"data__name": "b"}, r"differ in data\.name \(scientific there, b here\); "),
        ({"trainer__limit_val_batches": 3}, r"trainer\.limit_val_batches \(none there, 3 here\)"),
        ({"pretrained": "/logs/b"}, r"differ in pretrained \(null there, b here\); "),
        (
            {"stages": [{"experiment": "demo", "same_data": False}]},
            r"differ in stages \(null there, demo here\)",
        ),
        ({"callbacks__early_stopping": None}, r"patience \(10 there, none here\); delete"),
    ],
)
def test_a_job_in_the_folder_of_another_run_says_what_differs(
    repeat: Callable[..., str], changes: dict[str, Any], said: str
) -> None:
    asked = run_config("data=scientific", **changes)
    assert re.search(said, repeat(run_config("data=scientific"), asked))


TINY = (
    "experiment=demo",
    "data.sources.demo_office.num_users=40",
    "data.sources.demo_office.num_items=30",
    "model.embed_dim=8",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "callbacks.interpretation=null",
)


def sweep(tmp_path: Path, *arguments: str) -> Ended:
    """Runs in this process."""
    return call("train", *sweep_command(tmp_path, *arguments))


def sweep_command(tmp_path: Path, *arguments: str) -> list[str]:
    places = [f"paths.data_dir={tmp_path / 'data'}", f"paths.log_dir={tmp_path / 'logs'}"]
    return ["-m", *TINY, *places, *arguments]


def launch(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs in another process, and where its launcher starts some, in those."""
    command = [sys.executable, str(ROOT / "src" / "train.py")]
    own = {"PYTHONPATH": str(ROOT / "tests" / "app"), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        [*command, *sweep_command(tmp_path, *arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **own},
    )


@pytest.mark.slow
def test_a_failed_job_stops_no_other_and_the_same_command_does_only_what_is_left(
    tmp_path: Path,
) -> None:
    heads = "model.network.block.num_heads=3,2"  # 3 does not divide 8
    first = sweep(tmp_path, heads)
    assert first.code == 1
    assert "num_heads (3) must divide embed_dim (8)" in first.stdout
    failed, done = sorted((tmp_path / "logs" / "sweeps").glob("*/*_*"))
    assert (failed / "error.txt").is_file()
    assert not (failed / "metrics.json").exists()
    metrics = done / "metrics.json"
    written = metrics.stat().st_mtime_ns
    again = sweep(tmp_path, heads)
    assert again.code == 1
    assert metrics.stat().st_mtime_ns == written
    assert "had finished before" in again.stdout
    # A folder that holds another run is left alone.
    config = done / "config.yaml"
    _, _, settings = config.read_text().partition("\n")  # without its checksum
    config.write_text(settings.replace("seed: 1", "seed: 7"))
    third = sweep(tmp_path, heads)
    assert "settings differ in" in third.stdout
    assert metrics.stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_sweep_killed_in_the_middle_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    assert sweep(tmp_path, "seed=1,2").code == 0
    jobs = sorted((tmp_path / "logs" / "sweeps").glob("*/*_*"))
    straight = [(job / "metrics.json").read_text() for job in jobs]
    (jobs[1] / "metrics.json").unlink()  # as if killed after its last epoch
    (jobs[1] / "error.txt").write_text("Killed\n")
    resumed = sweep(tmp_path, "seed=1,2")
    assert resumed.code == 0, resumed.stderr
    assert not (jobs[1] / "error.txt").exists()
    assert [(job / "metrics.json").read_text() for job in jobs] == straight


@pytest.mark.slow
def test_a_killed_process_of_a_parallel_sweep_is_told_and_the_same_command_goes_on(
    tmp_path: Path,
) -> None:
    kill = {"trial": "1_x", "step": 1, "number": 9, "marker": tmp_path / "killed"}
    command = [
        "seed=1,2",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "hydra.sweep.subdir=${hydra:job.num}_x",
        "+callbacks.kill._target_=kill_once.KillOnce",
        *(f"+callbacks.kill.{key}={value}" for key, value in kill.items()),
    ]
    killed = launch(tmp_path, *command)
    assert killed.returncode == 1
    assert "Traceback" not in killed.stderr
    assert "error: A worker process managed by the executor was unexpectedly" in killed.stderr
    assert "1 seed=2" in first_cells(killed.stdout, "not finished: its process was ended")
    again = launch(tmp_path, *command)
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "logs" / "sweeps").glob("*/*/metrics.json"))) == 2


@pytest.mark.slow
def test_jobs_of_submitit_fail_one_by_one(tmp_path: Path) -> None:
    # The launcher of a cluster, but for who starts the processes.
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"]
    done = launch(tmp_path, *launcher, "model.network.block.num_heads=3,2")
    assert done.returncode == 1
    assert first_cells(done.stdout, "num_heads (3) must divide") == [
        "0 model.network.block.num_heads=3"
    ]
    assert [path.parent.name[0] for path in tmp_path.glob("logs/sweeps/*/*/metrics.json")] == ["1"]
    assert list(tmp_path.glob("logs/sweeps/*/.submitit/*/*_log.out"))


@pytest.mark.slow
def test_each_gpu_has_one_job_at_a_time(tmp_path: Path) -> None:
    done = launch(
        tmp_path,
        "hydra/launcher=gpus",
        "seed=1,2,3",
        "+names.gpu='${oc.env:CUDA_VISIBLE_DEVICES}'",
        CUDA_VISIBLE_DEVICES="5,7",
        TMPDIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    jobs = [
        (
            str(OmegaConf.load(config).names.gpu),
            config.stat().st_mtime_ns,
            (config.parent / "metrics.json").stat().st_mtime_ns,
        )
        for config in tmp_path.glob("logs/sweeps/*/*/config.yaml")
    ]
    assert len(jobs) == 3
    assert {gpu for gpu, _, _ in jobs} <= {"5", "7"}
    for (gpu, start, end), (other_gpu, other_start, other_end) in combinations(jobs, 2):
        assert gpu != other_gpu or end <= other_start or other_end <= start
