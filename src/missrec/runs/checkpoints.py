"""Which checkpoint of a run folder to go on from, which to test, and which to keep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from missrec.runs.folder import RunFolder
from missrec.training.checkpoints import (
    DamagedCheckpointError,
    read_checkpoint,
    resumes_training,
    strip_checkpoint,
    write_checkpoint,
)

_TESTED = "tested"
_EPOCHS, _LAST, _LATEST = "epoch_*.ckpt", "last.ckpt", "latest.ckpt"
_ALL = (_LAST, _LATEST, "snapshot_*.ckpt", "*.ckpt")
"""Of those with equal steps, the first: its callbacks have seen the most files written."""

_NEEDED = ("state_dict", "global_step", "epoch")

_log = logging.getLogger(__name__)


class NothingToResumeError(ValueError):
    """A run has checkpoints, and training cannot go on from any."""


class _Checkpoint(NamedTuple):
    """What a file says of itself.

    Attributes:
        steps: of the optimiser.
        epoch: that it is of.
        ended: the epoch had ended.
        stopped: the training had stopped early.
        best: name of the best epoch's file by then; None if there was none.
        resumes: training can go on from it.
    """

    steps: int
    epoch: int
    ended: bool
    stopped: bool
    best: str | None
    resumes: bool


def resumable(run_dir: Path) -> Path | None:
    """The checkpoint with the most steps that training can go on from; None before the first.

    Passed over are files that are damaged, that were written when the training had just stopped
    early, and those whose best epoch is damaged and cannot be had from another file (see
    `restore_best`): the run could not be tested. Steps are read from the files, because a copied
    folder has new file times.

    Raises:
        NothingToResumeError: there are checkpoints, but none to go on from.
    """
    whole = _whole(run_dir)
    if whole is None:
        return None
    going = {path: one for path, one in whole.items() if one.resumes and not one.stopped}
    for path in sorted(going, key=lambda path: -going[path].steps):
        best = _best(path, going[path])
        if best is None or best in whole or not best.exists() or _same_epoch(best, whole):
            return path
        _log.warning("%s is passed over: the best epoch by then, %s, is damaged", path, best.name)
    if whole and not any(one.resumes for one in whole.values()):
        raise NothingToResumeError(
            f"{RunFolder(run_dir).checkpoints} holds the model of a run that has ended, and not "
            "what training goes on from; a new run may start from it by pretrained="
        )
    raise NothingToResumeError(
        f"no checkpoint in {RunFolder(run_dir).checkpoints} can be gone on from; to start the run "
        "over, delete them"
    )


def restore_best(run_dir: Path, source: Path) -> None:
    """Writes the best epoch anew where it is damaged or gone, from a file of the same weights.

    Args:
        run_dir: of the run.
        source: the checkpoint that the run goes on from.
    """
    whole = _whole(run_dir) or {}
    best = _best(source, whole[source]) if source in whole else None
    if best is None or best in whole:
        return
    if (same := _same_epoch(best, whole)) is not None:
        write_checkpoint(best, read_checkpoint(same, mmap=True))
        _log.warning("%s was damaged or gone, and is written anew from %s", best, same.name)


def rewrite_checkpoints(
    run_dir: Path, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> None:
    """Writes each checkpoint that is not damaged anew, as its content is changed.

    Args:
        run_dir: of the run.
        change: content -> content.
    """
    for path in _whole(run_dir) or {}:
        write_checkpoint(path, change(read_checkpoint(path)))


def chosen_checkpoint(run_dir: Path) -> Path:
    """The checkpoint that the run was tested with, or that validation has chosen so far.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the folder's record of it cannot be read.
    """
    folder = RunFolder(run_dir).checkpoints
    name = RunFolder(run_dir).read_provenance().get(_TESTED)
    if name is not None:
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(
                f"{RunFolder(run_dir).provenance}: {_TESTED} ({name!r}) must be a file's name"
            )
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing, and the run was tested with it")
        return folder / name
    found = _files(run_dir, _EPOCHS)
    if not found:
        raise FileNotFoundError(f"{folder} holds no {_EPOCHS}: no epoch of the run has ended")
    return found[-1]


def record_tested(run_dir: Path, name: str) -> None:
    """Notes by name which checkpoint the run is tested with."""
    folder = RunFolder(run_dir)
    folder.write_provenance({**folder.read_provenance(), _TESTED: name})


def tidy(run_dir: Path, *, keep_resumable: bool) -> None:
    """Leaves of a finished run's checkpoints the models alone; what is done is not done again.

    Args:
        run_dir: of a run whose metrics are written; one without checkpoints is left as it is.
        keep_resumable: leave the checkpoint from which training can go on.

    Raises:
        FileNotFoundError: the run has no tested checkpoint; nothing is removed.
        ValueError: that one is damaged; nothing is removed.
    """
    if not _files(run_dir, *_ALL):
        return
    kept = None
    if keep_resumable:
        with suppress(NothingToResumeError):
            kept = resumable(run_dir)
    first = chosen_checkpoint(run_dir)
    for path in dict.fromkeys((first, *_files(run_dir, *_ALL))):
        if path == kept or (path != first and path.name in {_LAST, _LATEST}):
            continue
        try:
            strip_checkpoint(path)
        except DamagedCheckpointError as error:
            if path == first:
                raise
            _log.warning("%s", error)
    for path in _files(run_dir, _LAST, _LATEST):
        if path not in (kept, first):
            path.unlink()


def _files(run_dir: Path, *patterns: str) -> list[Path]:
    """The checkpoints of these names, each once; those of one pattern by number."""
    folder = RunFolder(run_dir).checkpoints
    found = {
        path: None
        for pattern in patterns
        for path in sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))
        if path.is_file() and not path.name.startswith(".")
    }
    return list(found)


def _whole(run_dir: Path) -> dict[Path, _Checkpoint] | None:
    """The checkpoints that are not damaged, warning of those that are; None if there are none."""
    found = {}
    files = _files(run_dir, *_ALL)
    for path in files:
        try:
            content = read_checkpoint(path, needed=_NEEDED, mmap=True)
            found[path] = _described(content)
        except (DamagedCheckpointError, OSError) as error:
            _log.warning("passed over: %s", error)
        except Exception as error:  # whole, but of another make
            _log.warning("passed over: %s is none of ours (%r)", path, error)
    return found if files else None


def _described(content: Mapping[str, Any]) -> _Checkpoint:
    resumes = resumes_training(content)
    ended, stopped, best = False, False, None
    if resumes:
        progress = content["loops"]["fit_loop"]["epoch_progress"]["current"]
        ended = progress["processed"] == progress["ready"]
        for key, state in content["callbacks"].items():
            if key.startswith("ModelCheckpoint{") and state["monitor"] is not None:
                best = Path(state["best_model_path"]).name or None
            stopped = stopped or (key.startswith("EarlyStopping{") and state["stopped_epoch"] > 0)
    steps, epoch = int(content["global_step"]), int(content["epoch"])
    return _Checkpoint(steps, epoch, ended, stopped, best, resumes)


def _best(path: Path, checkpoint: _Checkpoint) -> Path | None:
    return None if checkpoint.best is None else path.with_name(checkpoint.best)


def _same_epoch(best: Path, whole: Mapping[Path, _Checkpoint]) -> Path | None:
    """A file with the weights of an epoch's end, of which its own file is not whole."""
    for path, one in whole.items():
        if path != best and one.ended and best.name == f"epoch_{one.epoch:03d}.ckpt":
            return path
    return None
