"""The manifest of a folder: counts, settings and the checksum of every file in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from missrec.files import digest, sha256

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_OWN = "manifest_sha256"
"""Of all else in the manifest; those written before have none."""


class FolderError(ValueError):
    """A folder of data is not what its manifest says.

    Attributes:
        folder: which.
    """

    def __init__(self, message: str, folder: Path) -> None:
        """Says what is wrong, and with which folder."""
        super().__init__(message, folder)
        self.folder = folder

    def __str__(self) -> str:
        """The message alone."""
        return str(self.args[0])


class MissingFolderError(FolderError, FileNotFoundError):
    """A folder of data, its manifest or one of its files is missing."""


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Writes `folder/manifest.json` over the files that lie directly in the folder."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != MANIFEST
    }
    manifest = {"format_version": FORMAT_VERSION, **facts, "files": files}
    manifest.pop(_OWN, None)  # of facts that were read from a manifest
    manifest[_OWN] = digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path, *, facts: Sequence[str], files: Sequence[str]) -> dict[str, Any]:
    """The manifest of a folder whose files all match it.

    Args:
        folder: folder written through `write_manifest`.
        facts: keys that its manifest must hold.
        files: files that it must list; whatever it lists is checked.

    Raises:
        MissingFolderError: the folder, its manifest or one of its files is missing.
        FolderError: the manifest is malformed or of another format version, or a file's size or
            checksum differs from it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise MissingFolderError(f"{path} is missing", folder)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        own = manifest.pop(_OWN, None)
        version = manifest["format_version"]
        listed = {
            name: (int(entry["bytes"]), str(entry["sha256"]))
            for name, entry in manifest["files"].items()
        }
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise FolderError(f"{path} is not a readable manifest ({error!r})", folder) from error
    except RecursionError as error:
        raise FolderError(f"{path} is not a readable manifest", folder) from error
    if version != FORMAT_VERSION:
        raise FolderError(f"{path}: format_version is {version}, expected {FORMAT_VERSION}", folder)
    if own is not None and own != digest(manifest):
        raise FolderError(f"{path} was changed since it was written", folder)
    absent = [fact for fact in facts if fact not in manifest]
    absent += [name for name in files if name not in listed]
    if absent:
        raise FolderError(f"{path} says nothing of {', '.join(absent)}", folder)
    for name, (size, expected) in listed.items():
        _check_file(folder / name, size, expected)
    return dict(manifest)


def _check_file(path: Path, num_bytes: int, digest: str) -> None:
    if not path.is_file():
        raise MissingFolderError(f"{path} is missing though its manifest lists it", path.parent)
    size = path.stat().st_size
    if size != num_bytes:
        raise FolderError(f"{path} has {size} bytes, its manifest says {num_bytes}", path.parent)
    if sha256(path) != digest:
        raise FolderError(f"{path} does not match the sha256 of its manifest", path.parent)
