"""One writer of a folder at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from missrec.files import make_folder

_LOCK = ".writer.lock"

_log = logging.getLogger(__name__)


class RunBusyError(OSError):
    """Another process writes into the folder."""


@contextmanager
def only_writer(folder: Path, *, waits: bool = False) -> Iterator[None]:
    """Inside, no other process is; the lock is the system's, and ends with the process.

    The process that is inside may enter again. Where the file system cannot lock, a warning says
    so and nothing is locked.

    Args:
        folder: made where it is missing.
        waits: for the other process to leave.

    Raises:
        RunBusyError: another process is inside, and this one does not wait.
    """
    make_folder(folder)
    lock = FileLock(folder / _LOCK, is_singleton=True)
    try:
        lock.acquire(blocking=waits)
    except Timeout as error:
        raise RunBusyError(
            f"another process writes into {folder}; if none does, delete {_LOCK} there"
        ) from error
    except OSError as error:
        _log.warning("%s cannot be locked (%s): let no other process write there", folder, error)
    try:
        yield
    finally:
        lock.release()
