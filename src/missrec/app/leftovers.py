"""The folder that Hydra makes before a command begins: nothing stays of one that did not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_LOCK = ".writer.lock"
_OF_HYDRA = ("config.yaml", "hydra.yaml", "overrides.yaml")


def remove_unused(folder: Path, *, log_dir: Path, job: str) -> None:
    """Removes a folder that holds only what Hydra writes, and the empty ones above it.

    Args:
        folder: of the command's run; one outside of `log_dir` keeps its place, and is emptied.
        log_dir: the last that goes.
        job: the name of Hydra's job, after which its log is named.
    """
    hydra = folder / ".hydra"
    own = [*(hydra / name for name in _OF_HYDRA), folder / f"{job}.log", folder / _LOCK]
    found = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    if not found or not set(found) <= set(own):
        return
    for path in found:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # a command may have none
        hydra.rmdir()
    with suppress(OSError):  # somebody else's files are there
        for place in (folder, *folder.parents):
            if not place.is_relative_to(log_dir):
                break
            place.rmdir()
