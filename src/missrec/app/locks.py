"""One writer of a run folder at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = ".writer.lock"


class RunBusyError(OSError):
    """Another process writes into the run folder."""


@contextmanager
def only_writer(run_dir: Path, *, waits: bool = False) -> Iterator[None]:
    """Inside, no other process is; the lock is the system's, and ends with the process.

    The process that is inside may enter again.

    Args:
        run_dir: made where it is missing.
        waits: for the other process to leave.

    Raises:
        RunBusyError: another process is inside, and this one does not wait.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_dir / _LOCK, is_singleton=True)
    try:
        lock.acquire(blocking=waits)
    except Timeout as error:
        raise RunBusyError(f"{run_dir}: another process writes into this folder") from error
    try:
        yield
    finally:
        lock.release()
