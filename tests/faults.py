"""Ends the work at one of its file operations, as a kill of the process would."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

_NAMED = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir")


class Killed(BaseException):
    """Stands for the end of the process: only the test may catch it."""


class FileOperations:
    """Counts what is done to the files below a folder, and ends the work at one of them.

    Files opened for writing and each write to them, `replace`, `rename`, `unlink`, `rmdir`,
    `mkdir` and every `fsync` count; what compiled code does by itself does not. A dead process
    does nothing any more: each later operation raises again, in `finally` blocks too.
    """

    def __init__(self, below: Path, *, kill_at: int | None, torn: bool) -> None:
        self.kinds: list[str] = []
        self.killed = False
        self._below = str(below.resolve())
        self._kill_at = kill_at
        self._torn = torn

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self.kinds)

    def act(self, kind: str, whole: Callable[[], Any], half: Callable[[], Any]) -> Any:
        """Does the operation, or dies before it, or after the half of it."""
        if self.killed:
            raise Killed
        self.kinds.append(kind)
        if self.count - 1 == self._kill_at:
            try:
                if self._torn:
                    half()
            finally:
                self.killed = True
                raise Killed  # whatever the operation itself raises
        return whole()

    def concerns(self, path: Any, dir_fd: object) -> bool:
        if dir_fd is not None:  # shutil.rmtree
            return True
        return isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(  # noqa: PTH100
            self._below
        )


class _Written:
    """A file that is written to."""

    def __init__(self, file: Any, operations: FileOperations) -> None:
        self._file = file
        self._operations = operations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, data: Any) -> Any:
        def half() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        return self._operations.act("write", lambda: self._file.write(data), half)


@contextmanager
def file_operations(
    below: Path, *, kill_at: int | None = None, torn: bool = False
) -> Iterator[FileOperations]:
    """Counts the file operations of the block; raises `Killed` in one of them.

    Args:
        below: the folder whose files count.
        kill_at: number of the operation to die at, from 0; None to count alone.
        torn: die when the operation is done, of a write when half of it is; else before it.
    """
    operations = FileOperations(below, kill_at=kill_at, torn=torn)
    plain_open, plain_sync = io.open, os.fsync

    def counted(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **named: Any) -> Any:
            def whole() -> Any:
                return plain(path, *arguments, **named)

            if operations.concerns(path, named.get("dir_fd") or named.get("src_dir_fd")):
                return operations.act(name, whole, whole)
            return whole()

        return call

    def opened(path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        def whole() -> Any:
            return plain_open(path, mode, *arguments, **named)

        if set(mode) & set("wax+") and operations.concerns(path, None):
            return _Written(operations.act("open", whole, lambda: whole().close()), operations)
        return whole()

    def synced(descriptor: int) -> None:
        operations.act("fsync", lambda: plain_sync(descriptor), lambda: plain_sync(descriptor))

    with ExitStack() as patches:
        for name in _NAMED:
            patches.enter_context(patch.object(os, name, counted(name, getattr(os, name))))
        patches.enter_context(patch.object(os, "fsync", synced))
        patches.enter_context(patch.object(io, "open", opened))
        patches.enter_context(patch.object(builtins, "open", opened))
        yield operations
