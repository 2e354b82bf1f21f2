"""The images of items from a folder."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from missrec.features.encoders.encoder import UNREADABLE
from missrec.features.images.decoding import IMAGE_SUFFIXES, NO_IMAGE, mark_placeholders
from missrec.features.images.naming import ADDRESS
from missrec.features.inputs import INPUT_SCHEMA, OK
from missrec.files import sha256

_log = logging.getLogger(__name__)


class ImagesFromFolder:
    """Files of a folder or the folders in it: those that an item names, or that are named by it.

    An item's own `image_urls` come first, where they are paths below the folder; else it is the
    file with the item's key for a name and any image suffix. Of several such files the one in the
    fewest folders is taken, among those the first by name. Nothing outside the folder is read,
    also not by `..` or by a link.
    """

    def __init__(
        self, *, folder: str, placeholder_min_share: float, placeholder_min_items: int
    ) -> None:
        """Keeps the settings.

        Args:
            folder: where the files are, at any depth; `<item_key>.jpg` and so on.
            placeholder_min_share: see `mark_placeholders`.
            placeholder_min_items: see `mark_placeholders`.

        Raises:
            FileNotFoundError: no such folder.
        """
        if not (folder and Path(folder).is_dir()):
            raise FileNotFoundError(
                f"folder ({folder}) is not a folder; it must be the one with the images"
            )
        self._folder = Path(folder)
        self._real_folder = self._folder.resolve()
        self._min_share = placeholder_min_share
        self._min_items = placeholder_min_items

    def find(self, domain: str, items: pl.DataFrame) -> pl.DataFrame:
        """The files there are; whether they can be decoded shows when they are encoded."""
        files = self._files_by_name()
        gone: list[str] = []
        rows = [
            (item_id, *_described(path))
            for item_id, path in zip(items["item_id"], self._taken(items, files, gone), strict=True)
        ]
        found = pl.DataFrame(rows, schema=INPUT_SCHEMA, orient="row")
        if files and len(items) and (found["outcome"] == NO_IMAGE).all():
            first = items.row(0, named=True)
            _log.warning(
                "%s: no item has an image in %s: the first would be %s, a file there is %s",
                domain,
                self._folder,
                " or ".join([*(first.get("image_urls") or []), f"{first['item_key']}.*"]),
                next(iter(files.values())).relative_to(self._folder),
            )
        elif gone:
            _log.warning(
                "%s: %s files that items name are not in %s, such as %s",
                domain,
                f"{len(set(gone)):,}",
                self._folder,
                gone[0],
            )
        return mark_placeholders(
            found,
            min_share=self._min_share,
            min_items=self._min_items,
            num_items=len(items),
        )

    def files(self, items: pl.DataFrame) -> dict[str, Path]:
        """item_key -> file of each item that has one; no file is opened."""
        taken = self._taken(items, self._files_by_name(), [])
        return {key: path for key, path in zip(items["item_key"], taken, strict=True) if path}

    def _taken(
        self, items: pl.DataFrame, files: Mapping[str, Path], gone: list[str]
    ) -> list[Path | None]:
        """The file of each item; `gone` takes those that items name and that are not there."""
        if "image_urls" not in items.columns:
            items = items.with_columns(image_urls=None)
        return [
            self._first_named(named or [], gone) or files.get(key)
            for key, named in items.select("item_key", "image_urls").iter_rows()
        ]

    def _files_by_name(self) -> dict[str, Path]:
        """Name without suffix -> the file that is taken."""
        files: dict[str, Path] = {}
        doubles: list[Path] = []
        for path in sorted(self._walk(), key=lambda path: (len(path.parts), str(path))):
            if files.setdefault(path.stem, path) is not path:
                doubles.append(path)
        if doubles:
            taken = files[doubles[0].stem]
            _log.warning(
                "%s: %s images have the name of another one and are not taken: %s is, not %s",
                self._folder,
                f"{len(doubles):,}",
                taken.relative_to(self._folder),
                doubles[0].relative_to(self._folder),
            )
        return files

    def _walk(self) -> Iterator[Path]:
        """All files with an image's suffix; links to other folders are not followed."""
        outside = 0
        for parent, folders, names in os.walk(self._folder):
            for name in (*folders, *names):
                path = Path(parent, name)
                if path.is_symlink() and not self._is_inside(path):
                    outside += 1
                # A file alone: reading a pipe would wait for ever.
                elif path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                    yield path
        if outside:
            _log.warning(
                "%s: %s links lead out of the folder and are not followed; copy the images there",
                self._folder,
                f"{outside:,}",
            )

    def _first_named(self, paths: Sequence[str | None], gone: list[str]) -> Path | None:
        """The first file there is of those that an item names; `gone` takes those before it."""
        for name in paths:
            if not name or re.match(ADDRESS, name):
                continue
            with suppress(OSError, ValueError):  # too long for a name, or a null byte in it
                path = self._folder / name.replace("\\", "/")
                if path.is_file() and self._is_inside(path):
                    return path
            gone.append(name)
        return None

    def _is_inside(self, path: Path) -> bool:
        try:
            return path.resolve().is_relative_to(self._real_folder)
        except (OSError, RuntimeError):  # links in a circle
            return False


def _described(path: Path | None) -> tuple[str, str | None, str | None]:
    """Outcome, path and sha256."""
    if path is None:
        return NO_IMAGE, None, None
    try:
        return OK, str(path), sha256(path)
    except OSError:  # no right to read it, or it has gone
        return UNREADABLE, None, None
