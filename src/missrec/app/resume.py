"""Where a run stopped."""

from __future__ import annotations

import logging
from pathlib import Path
from pickle import UnpicklingError

from missrec.runs.folder import RunFolder

_RESUMABLE = ("last.ckpt", "latest.ckpt")

_log = logging.getLogger(__name__)


def furthest_checkpoint(run_dir: Path) -> Path | None:
    """The checkpoint of the run with the most steps; None if it was stopped before its first.

    Steps are read from the files, because a copied folder has new file times. A file that cannot
    be read, as a machine that went down while writing leaves it, is passed over.

    Raises:
        ValueError: no checkpoint of the run can be read.
    """
    found = [
        path for name in _RESUMABLE if (path := RunFolder(run_dir).checkpoints / name).is_file()
    ]
    if not found:
        _log.warning("%s holds no checkpoint yet: the run starts over", run_dir)
        return None
    steps = {path: count for path in found if (count := _num_steps(path)) is not None}
    if not steps:
        raise ValueError(
            f"{' and '.join(map(str, found))} cannot be read; to start the run over, delete them"
        )
    return max(steps, key=lambda path: steps[path])


def _num_steps(checkpoint: Path) -> int | None:
    """Optimiser steps of a checkpoint; None if it is damaged."""
    import torch  # heavy, and the command line is rewritten without it

    try:
        # mmap leaves the tensors on the disk.
        content = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
        return int(content["global_step"])
    except (RuntimeError, EOFError, UnpicklingError, KeyError) as error:
        _log.warning("%s is damaged and passed over: %s", checkpoint, str(error).split("\n")[0])
        return None
