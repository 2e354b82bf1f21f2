"""Rows of CSV, JSONL and Parquet files by the names of their columns."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from missrec.data.sources.lines import read_object, stream_lines

_REMEDY = "copy it again"

Row = Mapping[str, Any]


def open_table(
    path: Path, *, columns: Sequence[str], delimiter: str
) -> tuple[Iterator[tuple[int, Any]], Callable[[Any], Row]]:
    """The numbered raw rows of a table, and what makes the named columns of a raw row.

    A raw row is what a message can show of it. The number is that of its first line in the file,
    or of the row in Parquet, from 1. The second function raises ValueError for a row that has
    none. A row of JSONL may lack columns.

    Args:
        path: `.csv`, `.tsv` or `.jsonl`, also packed as `.gz`; or `.parquet`.
        columns: those wanted.
        delimiter: of a `.csv`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another suffix, a damaged file, a CSV or Parquet file without a column, or a
            delimiter of several characters.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; name the file that holds the data")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix == ".jsonl":
        return stream_lines(path, remedy=_REMEDY), read_object
    if suffix in (".csv", ".tsv"):
        return _open_csv(path, columns, delimiter="\t" if suffix == ".tsv" else delimiter)
    if path.suffix == ".parquet":
        return _open_parquet(path, columns)
    raise ValueError(
        f"{path}: cannot read {path.suffix or 'a file without a suffix'}, expected .csv, .tsv or "
        ".jsonl, each also as .gz, or .parquet"
    )


def _open_csv(
    path: Path, columns: Sequence[str], *, delimiter: str
) -> tuple[Iterator[tuple[int, Any]], Callable[[Any], Row]]:
    if len(delimiter) != 1:
        raise ValueError(f"{path}: delimiter ({delimiter!r}) must be one character")
    rows = _csv_rows(path, delimiter=delimiter)
    _, header = next(rows, (0, []))
    _check_columns(path, columns, header)
    places = {column: header.index(column) for column in columns}

    def parse(row: list[str]) -> Row:
        if len(row) != len(header):
            raise ValueError(f"has {len(row)} fields, the header has {len(header)}")
        return {column: row[place] for column, place in places.items()}

    return rows, parse


def _csv_rows(path: Path, *, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    lines = (f"{line}\n" for _, line in stream_lines(path, remedy=_REMEDY))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = 1
    try:
        for row in reader:
            if row:  # a blank line is no row
                yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {number}: {error}; a double quote opens there and does not close before "
            "a delimiter: close it, or double it where it is part of the value"
        ) from error


def _open_parquet(
    path: Path, columns: Sequence[str]
) -> tuple[Iterator[tuple[int, Any]], Callable[[Any], Row]]:
    try:
        _check_columns(path, columns, list(pl.read_parquet_schema(path)))
        table = pl.read_parquet(path, columns=list(columns))
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} is no whole Parquet file ({error}); {_REMEDY}") from error
    return enumerate(table.iter_rows(named=True), start=1), lambda row: row


def _check_columns(path: Path, columns: Sequence[str], header: Sequence[str]) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}, it has: {', '.join(header) or 'none'}; name its "
            "columns in the settings of data"
        )
