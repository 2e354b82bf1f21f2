"""Checkpoint files: whole or not there, with a checksum inside, read without running code."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from missrec.files import written_whole

if TYPE_CHECKING:
    from torch import Tensor

_END_OF_DIRECTORY = 22  # bytes; what a zip file ends with, before its comment
_END_SIGNATURE = b"PK\x05\x06"
_COMMENT = b"sha256:"
_COMMENT_LENGTH = len(_COMMENT) + hashlib.sha256().digest_size * 2
_CHUNK = 1 << 22

MODEL_PREFIX = "model."  # what the names of its state begin with, as a part of the LightningModule
_TRAINING_STATE = ("loops", "callbacks", "optimizer_states", "lr_schedulers")
_RANDOM_STATES = ("random_states", "random_state")  # the second in checkpoints of before


class DamagedCheckpointError(ValueError):
    """A file is no whole checkpoint."""


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint whole or not at all, with the sha256 of its bytes in itself.

    torch reads it as any other: the checksum is the comment of the zip file.

    Args:
        path: its folder is there.
        content: tensors and plain values.
    """
    import torch  # heavy, and who rewrites a command line needs only the names of this module

    with written_whole(path) as draft, draft.open("wb") as file:
        stream: Any = _Signed(file)
        try:
            torch.save(dict(content), stream)
        except BaseException:
            # torch tells of a full disk in words of its own.
            if stream.failure is not None:
                raise stream.failure from None
            raise
        stream.sign()


def read_checkpoint(
    path: Path, *, needed: Collection[str] = ("state_dict",), mmap: bool = False
) -> dict[str, Any]:
    """A checkpoint's content on the CPU, after its checksum is found right.

    Args:
        path: of one that `write_checkpoint` or Lightning wrote. Of the latter, each part has a
            checksum of 32 bits.
        needed: keys that it must have.
        mmap: leave the tensors in the file.

    Raises:
        FileNotFoundError, PermissionError: there is no such file to read.
        DamagedCheckpointError: the file is not whole, no checkpoint, or runs code.
    """
    import torch

    with path.open("rb") as stream:
        try:
            _verify(stream)
            content = torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
            _check_keys(content, needed)
        except Exception as error:  # a damaged file makes any reader raise anything
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise DamagedCheckpointError(f"{path} is no whole checkpoint: {reason}") from error
    found: dict[str, Any] = content
    return found


def model_state(path: Path) -> dict[str, Tensor]:
    """The state of the model that a checkpoint holds, on the CPU.

    Raises:
        FileNotFoundError, DamagedCheckpointError: see `read_checkpoint`.
    """
    state = read_checkpoint(path)["state_dict"]
    return {
        name.removeprefix(MODEL_PREFIX): value
        for name, value in state.items()
        if name.startswith(MODEL_PREFIX)
    }


def num_steps(path: Path) -> int:
    """The steps of the optimiser that a checkpoint was written after.

    Raises:
        FileNotFoundError, DamagedCheckpointError: see `read_checkpoint`.
    """
    return int(read_checkpoint(path, needed=("global_step",), mmap=True)["global_step"])


def resumes_training(content: Mapping[str, Any]) -> bool:
    """Whether a checkpoint holds all that training goes on from."""
    return all(key in content for key in _TRAINING_STATE) and any(
        key in content for key in _RANDOM_STATES
    )


def strip_checkpoint(path: Path) -> None:
    """Leaves of a checkpoint what is needed to use its model: training cannot go on from it.

    Raises:
        DamagedCheckpointError: it is not whole; it stays as it is.
    """
    content = read_checkpoint(path, mmap=True)
    dropped = {*_TRAINING_STATE, *_RANDOM_STATES}
    if dropped & content.keys():
        write_checkpoint(path, {key: content[key] for key in content if key not in dropped})


class _Signed:
    """Writes a zip file and, at its end, the sha256 of what was written, as its comment."""

    def __init__(self, file: BinaryIO) -> None:
        self.failure: BaseException | None = None
        self._file = file
        self._digest = hashlib.sha256()
        self._tail = b""  # held back: the end of the directory says how long the comment is

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        kept = max(0, len(view) - _END_OF_DIRECTORY)
        ready = self._tail + bytes(view[kept:])
        if kept:
            self._emit(self._tail)
            self._emit(view[:kept])
            ready = bytes(view[kept:])
        self._emit(ready[:-_END_OF_DIRECTORY])
        self._tail = ready[-_END_OF_DIRECTORY:]
        return len(view)

    def flush(self) -> None:
        self._file.flush()

    def sign(self) -> None:
        """Ends the file."""
        self._emit(self._tail[:-2] + struct.pack("<H", _COMMENT_LENGTH))
        self._file.write(_COMMENT + self._digest.hexdigest().encode())

    def _emit(self, data: bytes | memoryview) -> None:
        if not data:
            return
        try:
            self._file.write(data)
        except BaseException as error:
            self.failure = error
            raise
        self._digest.update(data)


def _verify(stream: BinaryIO) -> None:
    """Raises whatever tells that a checkpoint is not as it was written."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _END_OF_DIRECTORY))
    end = stream.read()
    if end[:4] == _END_SIGNATURE and end[-2:] == b"\0\0":  # as Lightning writes it: no comment
        with zipfile.ZipFile(stream) as archive:
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} is wrong")
        return
    signed = size - _COMMENT_LENGTH
    stream.seek(max(0, signed))
    comment = stream.read()
    if signed < _END_OF_DIRECTORY or not comment.startswith(_COMMENT):
        raise ValueError(f"its end is missing, or it is another kind of file ({size} bytes)")
    digest = hashlib.sha256()
    stream.seek(0)
    while signed > 0:
        chunk = stream.read(min(_CHUNK, signed))
        if not chunk:
            break
        digest.update(chunk)
        signed -= len(chunk)
    if comment != _COMMENT + digest.hexdigest().encode():
        raise ValueError("its checksum is wrong")


def _check_keys(content: Any, needed: Collection[str]) -> None:
    if not isinstance(content, dict):
        raise TypeError(f"it holds a {type(content).__name__}")
    if missing := [key for key in needed if key not in content]:
        raise KeyError(f"it holds no {missing[0]}")
