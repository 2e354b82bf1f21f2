"""The picture files of items, of one folder alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".jfif": "image/jpeg",
    ".mpo": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
}
"""By the suffix in lower case; of these none holds code that a browser would execute."""


class Picture(NamedTuple):
    """A file, and what a browser is told that it is."""

    path: Path
    media_type: str


class Pictures:
    """Which item has which picture; no file outside of the folder is given out."""

    def __init__(self, folder: Path | None = None, files: Mapping[str, Path] | None = None) -> None:
        """Keeps the names; no file is looked at before it is asked for.

        Args:
            folder: that all pictures lie in, at any depth; None where there are none.
            files: item key -> file.
        """
        self._folder = folder
        self._files = {} if files is None or folder is None else dict(files)

    def __len__(self) -> int:
        """Items with a picture."""
        return len(self._files)

    def __contains__(self, item: str) -> bool:
        """Whether there should be a picture of an item."""
        return item in self._files

    def of(self, item: str) -> Picture | None:
        """The picture of an item; None where there is none, or it leads out of the folder.

        Args:
            item: its key, which is looked up and never made a path of.
        """
        path = self._files.get(item)
        if path is None or self._folder is None:
            return None
        media_type = _MEDIA_TYPES.get(path.suffix.lower())
        try:
            real = path.resolve(strict=True)  # also of a link
            is_inside = real.is_relative_to(self._folder.resolve()) and real.is_file()
        except (OSError, RuntimeError):  # it has gone, or links go in a circle
            return None
        return Picture(real, media_type) if is_inside and media_type is not None else None
