"""What a command says of its run: at once, at its end, and when Ctrl-C breaks it off."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from doors import Ended, call
from missrec.app.command_line.arguments import fast_arguments
from missrec.app.settings import RunSettings
from missrec.runs.folder import RunFolder

Train = Callable[[Callable[[RunSettings], object]], Ended]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """`train(act)`: how `train.py` ends where `act` is what training does."""

    def started(act: Callable[[RunSettings], object]) -> Ended:
        monkeypatch.setattr("missrec.app.train.train_run", act)
        places = [f"paths.{place}_dir={tmp_path}/{place}" for place in ("log", "data")]
        return call("train", "experiment=demo", *places)

    return started


def begin(run: RunSettings) -> None:
    RunFolder(run.run_dir).write_config(run.config)


def interrupt(_: RunSettings) -> None:
    raise KeyboardInterrupt


def interrupt_as_lightning(run: RunSettings) -> None:
    begin(run)
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


def test_what_runs_on_what_and_where_is_said_before_it_begins(train: Train) -> None:
    ended = train(begin)
    assert ended.code == 0
    first, *_, folder, following, further, judged = ended.stdout.splitlines()
    said = "trains missrec_small on demo, text and image and ids, for up to 25 epochs; on the best"
    assert said in first
    assert " run folder: " in folder
    path = folder.rpartition(" run folder: ")[2]
    assert path in first
    assert following.endswith(f"next: python src/evaluate.py run={path}")
    assert further.endswith(f"or:   python src/recommend.py run={path}")
    assert judged.endswith(f"fit to ship? python src/report.py run={path}")


def test_ctrl_c_before_a_run_has_begun_leaves_nothing(train: Train, tmp_path: Path) -> None:
    ended = train(interrupt)
    assert (ended.code, ended.stderr) == (130, "interrupted; the same command starts again\n")
    assert not any(tmp_path.iterdir())


def test_ctrl_c_says_where_a_run_stands_and_how_it_goes_on(train: Train, tmp_path: Path) -> None:
    ended = train(interrupt_as_lightning)
    (run,) = (tmp_path / "log" / "demo").iterdir()
    said = f"interrupted: no epoch is kept yet; go on with: python src/train.py resume={run}\n"
    assert (ended.code, ended.stderr) == (130, said)


def test_one_batch_of_everything_is_what_the_user_does_not_say_otherwise() -> None:
    arguments = fast_arguments(["-m", "debug=fast", "trainer.max_epochs=2", "seed=1"])
    assert arguments[0] == "-m"
    assert arguments[-2:] == ["trainer.max_epochs=2", "seed=1"]
    assert "debug=fast" not in arguments
    limits = [f"++trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
    assert [one for one in arguments if one in limits] == limits
    assert fast_arguments(["resume=a", "debug=fast"]) == ["resume=a", "debug=fast"]
    assert fast_arguments(["seed=1"]) == ["seed=1"]


def test_where_a_run_stands_is_that_of_the_checkpoint_it_would_go_on_from(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = {"current": {"processed": 7}}
    content = {"epoch": 6, "global_step": 91, "loops": {"fit_loop": {"epoch_progress": progress}}}
    monkeypatch.setattr("missrec.runs.checkpoints.resumable", lambda _: Path("last.ckpt"))
    monkeypatch.setattr("missrec.training.checkpoints.read_checkpoint", lambda *_, **__: content)
    ended = train(interrupt_as_lightning)
    assert "interrupted: last.ckpt has 7 of up to 25 epochs, 91 steps; go on" in ended.stderr


@pytest.mark.slow
def test_sigterm_is_no_success(tmp_path: Path) -> None:
    """As a scheduler or a container sends it, in the middle of an epoch."""
    script = str(Path(__file__).parents[2] / "src/train.py")
    places = [f"paths.{place}_dir={tmp_path}/{place}" for place in ("log", "data")]
    quiet = ["logger=csv", "trainer.max_epochs=500", "trainer.enable_progress_bar=false"]
    command = [sys.executable, script, "experiment=demo", *places, *quiet]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as training:
        while not list(tmp_path.glob("log/demo/*/checkpoints/last.ckpt")):
            assert training.poll() is None
            time.sleep(0.2)
        training.terminate()
        _, said = training.communicate(timeout=100)
    (run,) = (tmp_path / "log" / "demo").iterdir()
    assert training.returncode == 143, said
    assert "interrupted: last.ckpt has " in said
    assert f"go on with: python src/train.py resume={run}" in said
