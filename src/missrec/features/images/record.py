"""What became of every URL, on disk: a manifest, and a journal while fetching goes on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from missrec.features.images.decoding import NOT_AN_IMAGE, PLACEHOLDER
from missrec.features.images.fetching import NOT_FOUND, Fetched
from missrec.features.inputs import OK
from missrec.files import written_whole

MANIFEST, JOURNAL = "manifest.parquet", "journal.jsonl"
FETCHED_SCHEMA = {
    "url": pl.Utf8,
    "outcome": pl.Utf8,
    "file": pl.Utf8,
    "sha256": pl.Utf8,
    "bytes": pl.Int64,
    "width": pl.Int64,
    "height": pl.Int64,
}
_FINAL = {OK, NOT_FOUND, NOT_AN_IMAGE}
"""Outcomes for which a URL is not asked again in another run."""
RETRIABLE = (NOT_FOUND, NOT_AN_IMAGE, PLACEHOLDER)
"""Outcomes for which it is asked again only where that is asked for."""


class FetchRecord:
    """The outcomes of one image folder.

    `manifest.parquet` has a row for every item and URL that was tried. While fetching goes on,
    each outcome is appended to a journal, so that a killed run loses nothing but the files in
    flight.
    """

    def __init__(self, folder: Path, *, retry: Collection[str]) -> None:
        """Reads what earlier runs recorded; outcomes that are not final are forgotten.

        Args:
            folder: of the images.
            retry: outcomes that are forgotten too, of `RETRIABLE`.
        """
        self._folder = folder
        recorded = [
            *_read_manifest(folder / MANIFEST, retry=retry),
            *(row for row in _read_journal(folder / JOURNAL) if row.outcome not in retry),
        ]
        self.results = {
            fetched.url: fetched
            for fetched in recorded
            if fetched.outcome in _FINAL and self._is_there(fetched)
        }

    def _is_there(self, fetched: Fetched) -> bool:
        if fetched.file is None:
            return True
        path = self._folder / fetched.file
        return path.is_file() and path.stat().st_size == fetched.bytes

    @contextmanager
    def journal(self) -> Iterator[None]:
        """Within the block, `note` may be called."""
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as self._journal:
            self._journal.write("\n")  # a killed run may have left half a line
            yield

    def note(self, fetched: Fetched) -> None:
        """Records one outcome, in memory and on disk."""
        self.results[fetched.url] = fetched
        self._journal.write(json.dumps(fetched) + "\n")
        self._journal.flush()

    def table(self) -> pl.DataFrame:
        """The outcomes as `FETCHED_SCHEMA`."""
        return pl.DataFrame(list(self.results.values()), schema=FETCHED_SCHEMA, orient="row")

    def finish(self, tried: pl.DataFrame) -> None:
        """Writes the manifest and drops the journal.

        Args:
            tried: `item_key` and the columns of `FETCHED_SCHEMA`.
        """
        with written_whole(self._folder / MANIFEST) as draft:
            tried.select("item_key", *FETCHED_SCHEMA).write_parquet(draft)
        (self._folder / JOURNAL).unlink()


def recorded_files(folder: Path) -> dict[str, Path]:
    """item_key -> file of each item that has an image, of its best URL.

    Args:
        folder: of images that were fetched.

    Raises:
        ValueError: the record cannot be read.
    """
    try:
        table = pl.read_parquet(folder / MANIFEST, columns=["item_key", "outcome", "file"])
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{folder / MANIFEST} cannot be read ({error})") from error
    best = table.filter(outcome=OK).unique("item_key", keep="first", maintain_order=True)
    return {key: folder / file for key, file in best.select("item_key", "file").iter_rows()}


def _read_manifest(path: Path, *, retry: Collection[str]) -> list[Fetched]:
    if not path.is_file():
        return []
    try:
        table = pl.read_parquet(path, columns=list(FETCHED_SCHEMA))
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} cannot be read ({error}); delete it, then run again") from error
    # Which images are placeholders depends on the others, and is decided anew.
    outcome = pl.col("outcome").replace(PLACEHOLDER, OK)
    kept = table.filter(~pl.col("outcome").is_in(retry))
    kept = kept.unique("url", keep="first", maintain_order=True).with_columns(outcome=outcome)
    return [Fetched(*row) for row in kept.iter_rows()]


def _read_journal(path: Path) -> list[Fetched]:
    if not path.is_file():
        return []
    results = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            results.append(Fetched(*json.loads(line)))
        except (ValueError, TypeError):
            continue  # the line that was being written when the run was killed
    return results
