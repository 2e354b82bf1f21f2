"""The folder that Hydra makes before a command begins: nothing stays of one that did not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

AT_END = ExitStack()
"""What is to be done when a command ends before Hydra says that it has."""

ERROR = "error.txt"
"""Of a job of a sweep: why it failed."""
_LOCK = ".writer.lock"
_OF_HYDRA = ("config.yaml", "hydra.yaml", "overrides.yaml")
_SWEEP = "multirun.yaml"


def remove_unused(folder: Path, *, log_dir: Path, job: str) -> None:
    """Removes a folder that holds only what Hydra writes, and the empty ones above it.

    Args:
        folder: of the command's run; one outside of `log_dir` keeps its place, and is emptied.
        log_dir: the last that goes.
        job: the name of Hydra's job, after which its log is named.
    """
    found = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    if found and set(found) <= _own(folder, job):
        _remove(folder, found, log_dir)


def remove_unbegun_sweep(folder: Path, *, log_dir: Path, job: str) -> None:
    """Removes the folder of a sweep none of whose jobs has written more than why it failed.

    Args:
        folder: of the sweep.
        log_dir: the last that goes.
        job: as for `remove_unused`.
    """
    jobs = [path for path in folder.iterdir() if path.is_dir()]
    own = {folder / _SWEEP, *(path / ERROR for path in jobs)}.union(
        *(_own(one, job) for one in jobs)
    )
    found = [path for path in folder.rglob("*") if path.is_file()]
    if set(found) <= own:
        for path in jobs:
            _remove(path, [one for one in found if one.is_relative_to(path)], path)
        _remove(folder, [folder / _SWEEP], log_dir)


class SweepFolder(Callback):
    """Removes the folder of a multirun that breaks off before a job has begun.

    Hydra makes it before it has composed any job, and does not call `on_multirun_end` where it, or
    its launcher, breaks off. A folder that was there before stays.
    """

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        """The folder is not there yet."""
        AT_END.callback(self._break_off, config, is_new=not Path(config.hydra.sweep.dir).exists())

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        """Nothing broke off."""
        AT_END.pop_all()

    def _break_off(self, config: Any, *, is_new: bool) -> None:
        folder, log_dir = Path(config.hydra.sweep.dir), Path(config.paths.log_dir).absolute()
        if is_new and folder.is_dir():
            remove_unbegun_sweep(folder, log_dir=log_dir, job=config.hydra.job.name)


def _own(folder: Path, job: str) -> set[Path]:
    hydra = folder / ".hydra"
    return {*(hydra / name for name in _OF_HYDRA), folder / f"{job}.log", folder / _LOCK}


def _remove(folder: Path, files: Sequence[Path], last: Path) -> None:
    """Removes files of a folder, and the folder with those above it that are empty then."""
    for path in files:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # a command may have none
        (folder / ".hydra").rmdir()
    with suppress(OSError):  # somebody else's files are there
        for place in (folder, *folder.parents):
            if not place.is_relative_to(last):
                break
            place.rmdir()
