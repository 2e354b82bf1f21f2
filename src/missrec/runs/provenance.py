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


def provenance(root_dir: Path, *, started_from: Path | None) -> dict[str, Any]:
    """What made a run: plain values for `provenance.json`.

    Args:
        root_dir: of the project.
        started_from: the checkpoint that the run began with.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "git": _git_state(root_dir),
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
