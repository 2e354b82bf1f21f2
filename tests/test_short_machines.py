"""What a machine lacks is one line: memory, shared memory, files, room on the disk, leave to write.

bench/limits.py tries the real thing, as root and for minutes.
"""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from doors import Ended, call
from missrec.data import loader

NO_ROOM = OSError(errno.ENOSPC, "No space left on device", "a/epoch_000.ckpt")
READ_ONLY = OSError(errno.EROFS, "Read-only file system", "a/config.yaml")
FILES = OSError(errno.EMFILE, "Too many open files")
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 5591040 bytes. Error code 12 (Cannot allocate memory)"
)
GPU = RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has 1 GiB.")
SHARED = RuntimeError("unable to write to file </torch_7_2_0>: No space left on device (28)")
WORKER = RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly")

GONE = RuntimeError("[pair.cc:561] Connection closed by peer [127.0.0.1]:45288. Check the others.")


class HalfMade:
    """An object whose making failed, and that fails again as it goes, as torch's iterators do."""

    def __del__(self) -> None:
        raise AttributeError("_workers_status")


def ended(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, *, beside: type = HalfMade
) -> Ended:
    """A report that ends so, with another object at hand."""

    def fail(*_: object) -> None:
        held = beside()
        assert held is not None
        raise error

    monkeypatch.setattr("missrec.app.report.report", fail)
    return call("report")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NO_ROOM, 2, "a/epoch_000.ckpt finds no space left on its disk; free some"),
        (READ_ONLY, 2, "a/config.yaml is on a disk that is only to be read; name another"),
        (FILES, 2, "Too many open files"),
        (CPU, 1, "can't allocate memory"),
        (GPU, 1, "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 1 GiB."),
        (SHARED, 1, "No space left on device"),
        (WORKER, 1, "exited unexpectedly"),
        (GONE, 1, "Connection closed by peer"),
        (MemoryError(), 1, "MemoryError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value)[:12],
)
def test_what_a_machine_lacks_is_one_line(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ended(monkeypatch, error)
    assert found.code == code
    (line,) = found.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="shapes do not match"):
        ended(monkeypatch, RuntimeError("shapes do not match"), beside=object)


@pytest.mark.parametrize(("free_kilobytes", "fits"), [(64, False), (399, False), (400, True)])
def test_workers_without_shared_memory_are_refused_before_torch_waits_for_them(
    free_kilobytes: int, *, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = SimpleNamespace(f_bavail=free_kilobytes, f_frsize=1000)
    monkeypatch.setattr(loader.os, "statvfs", lambda _: there)
    monkeypatch.setattr(loader.Path, "is_dir", lambda _: True)
    needed = {"num_workers": 2, "batch_bytes": 100_000}  # each fetches two batches ahead
    if fits:
        loader.check_shared_memory(**needed)
        return
    with pytest.raises(ValueError, match=r"num_workers \(2\): /dev/shm has .* up to 400,000"):
        loader.check_shared_memory(**needed)
