"""Where a run came from, beside its settings: code, packages, machine, and what it started from."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from missrec.files import sha256

_PACKAGES = (
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "numpy",
    "polars",
    "wandb",
)


def provenance(checkout: Path | None, *, started_from: Path | None) -> dict[str, Any]:
    """What made a run: plain values for `provenance.json`.

    Args:
        checkout: where the code lies; None of an installed package, which has a version instead.
        started_from: the checkpoint that the run began with.
    """
    packages = _PACKAGES if checkout is not None else ("missrec", *_PACKAGES)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in packages},
        "git": {"commit": None, "dirty": None} if checkout is None else _git_state(checkout),
        "pretrained": None
        if started_from is None
        else {"path": str(started_from), "sha256": sha256(started_from)},
    }


def _git_state(root: Path) -> dict[str, Any]:
    """Commit and whether the tree differs from it; nulls outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
