"""Files and folders that are whole or not there, and what a killed command left of them."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

if TYPE_CHECKING:  # the command line is read without it
    import polars as pl

_DRAFT_FILE = re.compile(r"\..+\.[0-9a-f]{8}\.draft(\.[^.]*)?|\..+\.draft")
"""The second form is that of earlier versions."""

_DRAFT_FOLDER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.draft")
_NEW, _OLD, _LOCK = "new", "old", "lock"
"""In a draft folder: what will take the place, what had it, and the lock of who works there."""

_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)

_log = logging.getLogger(__name__)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(content: Any) -> str:
    """Hex digest of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a path to write to, in the same folder; it takes the name of `path` at the end.

    What was there before stays until then, also where the block raises or the process is killed;
    of what a kill leaves, see `remove_drafts`.
    """
    draft = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.draft{path.suffix}")
    try:
        yield draft
        _flush(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with written_whole(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_parquet(path: Path, table: pl.DataFrame) -> None:
    """Writes a table whole or not at all."""
    with written_whole(path) as draft:
        table.write_parquet(draft)


def make_folder(folder: Path) -> None:
    """Makes a folder, and those that it lies in, where they are missing.

    Raises:
        NotADirectoryError: names the file that has the name of one of them.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        raise NotADirectoryError(
            f"{file} is a file, and a folder has to be there; move it away, or name another place"
        ) from error


def remove_drafts(folder: Path) -> None:
    """Removes what killed commands left in a folder and below it; puts back what they set aside.

    Args:
        folder: that nobody else writes into meanwhile, see `runs.locks.only_writer`.
    """
    for where, names, files in os.walk(folder):
        for name in files:
            if _DRAFT_FILE.fullmatch(name):
                (Path(where) / name).unlink(missing_ok=True)
        for name in list(names):
            if found := _DRAFT_FOLDER.fullmatch(name):
                names.remove(name)
                recover_folder(Path(where) / found["name"])
                _remove_if_left(Path(where) / name)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder` that takes its place when the block ends well.

    A block that raises, or a process that is killed, leaves `folder` as it was: what was set aside
    is put back by the next one who asks for it, see `recover_folder`. Of two processes that replace
    the same folder at the same time, the later one's stays.
    """
    make_folder(folder.parent)
    recover_folder(folder)
    for left in _drafts_of(folder):
        _remove_if_left(left)
    draft, lock = _claim_draft(folder)
    try:
        yield draft / _NEW
        _flush_all(draft / _NEW)
        _take_place(folder, draft)
    finally:
        recover_folder(folder)
        if not _set_aside(draft) or folder.exists():
            shutil.rmtree(draft, ignore_errors=True)
        lock.release()
    _flush(folder.parent)


def recover_folder(folder: Path) -> None:
    """Puts back a folder that a killed `replace_folder` had set aside; nothing if it is there.

    A process that is just replacing it does so again.
    """
    if folder.exists():
        return
    earlier = f".{folder.name}.old."  # as earlier versions set it aside
    with suppress(OSError):
        found = [old for draft in _drafts_of(folder) for old in _set_aside(draft)]
        for path in folder.parent.iterdir():
            if path.name.startswith(earlier) and (path / folder.name).exists():
                found.append(path / folder.name)
        if found:
            newest = max(found, key=lambda path: path.parent.stat().st_mtime)
            newest.rename(folder)
            _log.warning("%s was set aside by a command that was killed; it is back", folder)
            with suppress(OSError):
                newest.parent.rmdir()  # of earlier versions; empty now


def _drafts_of(folder: Path) -> list[Path]:
    """The draft folders for a folder, of the living and of the dead."""
    if not folder.parent.is_dir():
        return []
    matches = ((path, _DRAFT_FOLDER.fullmatch(path.name)) for path in folder.parent.iterdir())
    return [path for path, match in matches if match and match["name"] == folder.name]


def _set_aside(draft: Path) -> list[Path]:
    """What a draft was about to replace; once it has, the old folder is nobody's."""
    return list(draft.glob(f"{_OLD}*")) if (draft / _NEW).exists() else []


def _claim_draft(folder: Path) -> tuple[Path, FileLock]:
    """A draft folder of this process's own, locked for as long as the process works there."""
    while True:
        draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.draft")
        draft.mkdir()
        lock = FileLock(draft / _LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue  # taken for a leftover, in the moment before it was locked
        except OSError as error:
            if draft.exists():
                _log.debug("%s cannot be locked: %s", draft, error)
        with suppress(FileNotFoundError):
            (draft / _NEW).mkdir()
            return draft, lock
        lock.release()


def _remove_if_left(draft: Path) -> None:
    """Removes a draft folder unless a process works there, or that cannot be told."""
    with suppress(OSError):
        lock = FileLock(draft / _LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return
        try:
            shutil.rmtree(draft)
        finally:
            lock.release()


def _take_place(folder: Path, draft: Path) -> None:
    """Puts the new folder in the place of what is there, which goes into the draft."""
    while True:
        with suppress(FileNotFoundError):  # another process has just set it aside
            folder.rename(draft / f"{_OLD}{secrets.token_hex(4)}")
        try:
            (draft / _NEW).rename(folder)
        except OSError as error:
            if error.errno not in _OCCUPIED:
                raise
            continue  # another process has just put its own there
        return


def _flush(path: Path) -> None:
    """Has the system write a file, or the names in a folder, to the disk."""
    if path.is_dir():
        with suppress(OSError):  # not every system opens folders
            _flush_descriptor(path)
    else:
        _flush_descriptor(path)


def _flush_descriptor(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_all(folder: Path) -> None:
    for where, _, files in os.walk(folder):
        for name in files:
            _flush(Path(where) / name)
        _flush(Path(where))
