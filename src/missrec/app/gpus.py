"""One GPU for each process of a parallel sweep."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_DEVICE_FILES = Path("/proc/driver/nvidia/gpus")

_claimed: FileLock | None = None


def visible_gpus() -> list[str]:
    """The GPUs of this process by number or name, without loading torch or CUDA."""
    named = os.environ.get(_VISIBLE)
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu]
    return [str(number) for number, _ in enumerate(_DEVICE_FILES.glob("*"))]


def claim_gpu() -> str:
    """Takes a GPU that no other process has claimed, and shows this process no other one.

    The first job of a process claims it, for as long as the process lives; the jobs that it runs
    later keep it, since CUDA cannot change its device once it has started.

    Returns:
        The GPU.

    Raises:
        ValueError: all GPUs are claimed, or there is none.
    """
    global _claimed  # noqa: PLW0603 the claim belongs to the process
    if _claimed is not None:
        return os.environ[_VISIBLE]
    gpus = visible_gpus()
    for gpu in gpus:
        lock = FileLock(Path(tempfile.gettempdir()) / f"missrec-gpu-{os.getuid()}-{gpu}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        _claimed = lock
        os.environ[_VISIBLE] = gpu
        return gpu
    raise ValueError(
        f"claim_gpu: each of the {len(gpus)} GPUs is taken by another job; start no more jobs at a "
        "time than there are GPUs: hydra.launcher.n_jobs=<number>"
    )


def _num_gpus() -> int:
    """For `hydra/launcher=gpus`."""
    gpus = visible_gpus()
    if not gpus:
        raise ValueError("hydra/launcher=gpus needs a GPU, and this machine shows none")
    return len(gpus)


OmegaConf.register_new_resolver("num_gpus", _num_gpus, replace=True)
