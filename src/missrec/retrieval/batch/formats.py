"""Tables in shards joined into one file: Parquet, CSV or lines of JSON, by its suffix."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import polars as pl

from missrec.files import written_whole

PARQUET = ".parquet"
TEXTS = (".csv", ".jsonl", ".ndjson")
_PACKED = ".gz"
_ROWS_A_GROUP = 2**17


def check_format(path: Path) -> None:
    """Refuses a file whose suffix says no format that can be written.

    Raises:
        ValueError: says which can.
    """
    if _kind(path) is None:
        raise ValueError(
            f"{path}: cannot write {''.join(path.suffixes[-2:]) or 'a file without a suffix'}, "
            f"expected {PARQUET}, {', '.join(TEXTS)}, the latter also as {_PACKED}"
        )


def join_tables(path: Path, tables: Sequence[Path]) -> None:
    """Writes tables of the same columns, one after the other, into one file, whole or not at all.

    They are streamed: what is in memory does not depend on their number. The same tables make the
    same bytes.

    Args:
        path: its suffix says the format, see `check_format`.
        tables: Parquet files.
    """
    rows = pl.scan_parquet(list(tables))
    with written_whole(path) as draft:
        if _kind(path) == PARQUET:
            rows.sink_parquet(draft, row_group_size=_ROWS_A_GROUP)
            return
        with _stream(draft) as stream:
            if _kind(path) == ".csv":
                rows.sink_csv(stream)
            else:
                rows.sink_ndjson(stream)


def _kind(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    is_packed = suffixes[-1:] == [_PACKED]
    kind = suffixes[-1 - is_packed :][:1]
    known = TEXTS if is_packed else (PARQUET, *TEXTS)
    return kind[0] if kind and kind[0] in known else None


@contextmanager
def _stream(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as file:
        if path.suffix.lower() == _PACKED:
            # Without the name and the time, by which equal content would have other bytes.
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
                yield stream  # type: ignore[misc]
        else:
            yield file
