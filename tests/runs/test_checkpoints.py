"""Any whole checkpoint of a run folder is gone on from, and a finished run keeps its model."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from faults import Killed, file_operations
from missrec.files import remove_drafts
from missrec.runs.checkpoints import (
    NothingToResumeError,
    chosen_checkpoint,
    record_tested,
    restore_best,
    resumable,
    tidy,
)
from missrec.runs.folder import RunFolder
from missrec.training.checkpoints import read_checkpoint, strip_checkpoint, write_checkpoint

KEPT = Path(__file__).resolve().parents[1] / "kept_runs/format_0/logs/demo"
BEST = "ModelCheckpoint{'monitor': 'val/ndcg@10', 'mode': 'max'}"
STOPPING = "EarlyStopping{'monitor': 'val/ndcg@10', 'mode': 'max'}"


def checkpoint(
    run_dir: Path, name: str, *, steps: int, epoch: int, best: str = "", stopped: bool = False
) -> Path:
    """Writes one; the latest is of the middle of its epoch, any other of the end."""
    ended = name != "latest.ckpt"
    progress = {"ready": epoch + 1, "processed": epoch + ended}
    content = {
        "state_dict": {"model.weight": torch.full((5,), float(steps))},
        "optimizer_states": [{"moments": torch.ones(2000)}],
        "lr_schedulers": [],
        "callbacks": {
            BEST: {"monitor": "val/ndcg@10", "best_model_path": best},
            STOPPING: {"stopped_epoch": epoch if stopped else 0},
        },
        "loops": {"fit_loop": {"epoch_progress": {"current": progress}}},
        "random_states": [],
        "global_step": steps,
        "epoch": epoch,
    }
    path = run_dir / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(path, content)
    return path


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Path]:
    """Three epochs and a bit, of which the second was the best."""
    best = "epoch_001.ckpt"
    return {
        best: checkpoint(tmp_path, best, steps=20, epoch=1, best=best),
        "last.ckpt": checkpoint(tmp_path, "last.ckpt", steps=20, epoch=1, best=best),
        "snapshot_002.ckpt": checkpoint(
            tmp_path, "snapshot_002.ckpt", steps=30, epoch=2, best=best
        ),
        "latest.ckpt": checkpoint(tmp_path, "latest.ckpt", steps=33, epoch=3, best=best),
    }


def test_a_run_goes_on_from_the_whole_checkpoint_with_the_most_steps(
    tmp_path: Path, run: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("latest.ckpt", "snapshot_002.ckpt", "last.ckpt"):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert resumable(tmp_path) == run[name]
        assert name not in caplog.text
        damage(run[name])
    with caplog.at_level(logging.WARNING):
        assert resumable(tmp_path) == run["epoch_001.ckpt"]
    assert f"passed over: {run['last.ckpt']} is no whole checkpoint" in caplog.text
    run["epoch_001.ckpt"].write_bytes(b"")
    with pytest.raises(NothingToResumeError, match="to start the run over, delete them"):
        resumable(tmp_path)


@pytest.mark.parametrize("files", [[], ["notes.txt"]])
def test_a_run_without_a_checkpoint_has_nothing_to_go_on_from(
    tmp_path: Path, files: list[str]
) -> None:
    assert resumable(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    for name in files:
        (tmp_path / "checkpoints" / name).touch()
    assert resumable(tmp_path) is None


def test_a_whole_file_of_another_make_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    content: dict[str, Any] = {"state_dict": {}, "global_step": "many", "epoch": 3}
    write_checkpoint(tmp_path / "checkpoints" / "last.ckpt", content)
    with pytest.raises(NothingToResumeError):
        resumable(tmp_path)
    epoch = checkpoint(tmp_path, "epoch_000.ckpt", steps=10, epoch=0, best="epoch_000.ckpt")
    assert resumable(tmp_path) == epoch


def test_a_damaged_best_epoch_is_written_anew_from_a_file_of_its_weights(
    tmp_path: Path, run: dict[str, Path]
) -> None:
    expected = read_checkpoint(run["epoch_001.ckpt"])["state_dict"]["model.weight"]
    damage(run["epoch_001.ckpt"])
    assert resumable(tmp_path) == run["latest.ckpt"]
    restore_best(tmp_path, run["latest.ckpt"])
    found = read_checkpoint(run["epoch_001.ckpt"])["state_dict"]["model.weight"]
    assert found.equal(expected)

    damage(run["epoch_001.ckpt"])
    damage(run["last.ckpt"])
    earlier = checkpoint(tmp_path, "epoch_000.ckpt", steps=10, epoch=0, best="epoch_000.ckpt")
    assert resumable(tmp_path) == earlier


def test_an_end_by_early_stopping_is_not_gone_on_from(tmp_path: Path, run: dict[str, Path]) -> None:
    best = "epoch_001.ckpt"
    checkpoint(tmp_path, "snapshot_012.ckpt", steps=120, epoch=12, best=best, stopped=True)
    assert resumable(tmp_path) == run["latest.ckpt"]


def test_the_tested_checkpoint_is_the_recorded_one_else_the_last_epoch(
    tmp_path: Path, run: dict[str, Path]
) -> None:
    assert chosen_checkpoint(tmp_path) == run["epoch_001.ckpt"]
    for epoch in (999, 1000):
        last = checkpoint(tmp_path, f"epoch_{epoch}.ckpt", steps=epoch, epoch=epoch)
        assert chosen_checkpoint(tmp_path) == last
    (tmp_path / "provenance.json").write_text('{"git": {"commit": "abc"}}')
    record_tested(tmp_path, "epoch_001.ckpt")
    assert chosen_checkpoint(tmp_path) == run["epoch_001.ckpt"]
    assert RunFolder(tmp_path).read_provenance() == {
        "git": {"commit": "abc"},
        "tested": "epoch_001.ckpt",
    }
    run["epoch_001.ckpt"].unlink()
    with pytest.raises(FileNotFoundError, match=r"epoch_001.ckpt is missing, and the run was"):
        chosen_checkpoint(tmp_path)


@pytest.mark.parametrize("record", ['{"tested": "../other.ckpt"}', '{"tested": 3}', "[]", "{", ""])
def test_a_record_of_the_tested_checkpoint_that_is_none_is_refused(
    tmp_path: Path, run: dict[str, Path], record: str
) -> None:
    (tmp_path / "provenance.json").write_text(record)
    with pytest.raises(ValueError, match=r"provenance.json") as error:
        chosen_checkpoint(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_a_run_without_an_epoch_has_no_tested_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no epoch of the run has ended"):
        chosen_checkpoint(tmp_path)


@pytest.mark.parametrize("keep_resumable", [False, True])
def test_a_tidied_run_keeps_models_and_no_more_than_one_state_to_go_on_from(
    tmp_path: Path, run: dict[str, Path], keep_resumable: bool
) -> None:
    tidy(tmp_path, keep_resumable=keep_resumable)
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert left == {"epoch_001.ckpt", "snapshot_002.ckpt"} | (
        {"latest.ckpt"} if keep_resumable else set()
    )
    for name, steps in (("epoch_001.ckpt", 20), ("snapshot_002.ckpt", 30)):
        found = read_checkpoint(run[name])
        assert found.keys() == {"state_dict", "global_step", "epoch"}
        assert found["state_dict"]["model.weight"][0] == steps
    if keep_resumable:
        assert resumable(tmp_path) == run["latest.ckpt"]
    else:
        with pytest.raises(NothingToResumeError, match="the model of a run that has ended"):
            resumable(tmp_path)


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("keep_resumable", [False, True])
def test_tidying_that_is_killed_anywhere_loses_nothing_and_is_completed_by_a_repeat(
    tmp_path: Path, run: dict[str, Path], keep_resumable: bool, torn: bool
) -> None:
    def tidied(run_dir: Path) -> dict[str, bytes]:
        remove_drafts(run_dir)
        tidy(run_dir, keep_resumable=keep_resumable)
        files = (run_dir / "checkpoints").glob("*.ckpt")
        return {path.name: path.read_bytes() for path in files}

    with file_operations(tmp_path / "whole") as whole:
        shutil.copytree(tmp_path / "checkpoints", tmp_path / "whole" / "checkpoints")
        before = whole.count
        expected = tidied(tmp_path / "whole")
    assert whole.count - before > 20
    for number in range(0, whole.count - before, 3):
        killed = tmp_path / f"killed_{number}"
        shutil.copytree(tmp_path / "checkpoints", killed / "checkpoints")
        with pytest.raises(Killed), file_operations(killed, kill_at=number, torn=torn):
            tidied(killed)
        assert read_checkpoint(chosen_checkpoint(killed))["state_dict"]["model.weight"][0] == 20
        assert tidied(killed) == expected


def test_nothing_is_removed_when_the_tested_checkpoint_is_damaged(
    tmp_path: Path, run: dict[str, Path]
) -> None:
    damage(run["epoch_001.ckpt"])
    with pytest.raises(ValueError, match=r"epoch_001.ckpt is no whole checkpoint"):
        tidy(tmp_path, keep_resumable=False)
    assert all(path.is_file() for path in run.values())


def test_kept_runs_are_gone_on_from_and_tested_as_before(tmp_path: Path) -> None:
    assert resumable(KEPT / "killed") == KEPT / "killed/checkpoints/latest.ckpt"
    assert resumable(KEPT / "missrec_s1") == KEPT / "missrec_s1/checkpoints/last.ckpt"
    assert chosen_checkpoint(KEPT / "missrec_s1") == KEPT / "missrec_s1/checkpoints/epoch_001.ckpt"
    shutil.copytree(KEPT / "missrec_s1", tmp_path / "run")
    before = size(tmp_path / "run")
    tidy(tmp_path / "run", keep_resumable=False)
    assert size(tmp_path / "run") < before / 3
    path = chosen_checkpoint(tmp_path / "run")
    strip_checkpoint(path)
    weights = read_checkpoint(KEPT / "missrec_s1/checkpoints/epoch_001.ckpt")["state_dict"]
    found = read_checkpoint(path)["state_dict"]
    assert found.keys() == weights.keys()
    assert all(found[name].equal(weights[name]) for name in weights)
    assert "tested" not in json.loads((tmp_path / "run/provenance.json").read_text())


def size(run_dir: Path) -> int:
    return sum(path.stat().st_size for path in (run_dir / "checkpoints").iterdir())
