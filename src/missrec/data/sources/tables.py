"""Rows of a table by the names of its columns, whatever the format of its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import polars as pl

from missrec.data.sources.delimited import Layout, open_delimited
from missrec.data.sources.lines import Misread, Rejects
from missrec.data.sources.parts import DELIMITED, JSON_LINES, Part, kind_of
from missrec.data.sources.records import open_records

_REMEDY = "copy it again"
_DAMAGED = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_MOST_SHOWN, _LONGEST_SHOWN = 50, 1000  # names of columns, characters


class OpenPart(NamedTuple):
    """A file of a table.

    Attributes:
        rows: its numbered raw rows. A raw row is what a message can show of it; its number is that
            of its first line in the file, of the entry of an array, or of the row in Parquet.
        values: makes of a raw row the values of the wanted columns, in their order; raises
            ValueError for a row that has none. What a JSON object lacks is None.
        unseen: wanted columns that no row had so far.
    """

    rows: Iterator[tuple[int, Any]]
    values: Callable[[Any], Sequence[Any]]
    unseen: set[str]


def collect_table(
    parts: Sequence[Part],
    *,
    columns: Sequence[str],
    layout: Layout,
    rejects: Rejects,
    add: Callable[[Sequence[Any]], str | None],
) -> int:
    """Hands the values of every row to `add`; the number of rows.

    Args:
        parts: the files.
        columns: those wanted.
        layout: of text files.
        rejects: takes the rows for which `add` raises ValueError, see `Rejects.collect`.
        add: takes the values of the wanted columns, in their order.

    Raises:
        ValueError: see `open_part` and `Rejects.collect`; or no row has one of the columns.
    """
    unseen = set(columns)
    filled = 0

    def opened() -> Iterator[tuple[str, Iterator[tuple[int, Any]], Callable[[Any], str | None]]]:
        nonlocal filled
        for part in parts:
            one = open_part(part, columns=columns, layout=layout)
            if one is None:
                continue
            filled += 1
            yield part.name, one.rows, _adding(one.values, add)
            unseen.intersection_update(one.unseen)

    table = str(parts[0].path) + (f" and {len(parts) - 1} more" if len(parts) > 1 else "")
    num_rows = rejects.collect_parts(table, opened())
    if not filled:
        raise ValueError(
            f"{table} has no column {columns[0]!r}, it has: none; there is not a line in it"
        )
    if num_rows and unseen:
        missing = sorted(unseen)
        raise MissingColumnError(
            f"{table}: no row has {missing[0]!r}; name its columns in the settings of data", missing
        )
    return num_rows


def _adding(
    values: Callable[[Any], Sequence[Any]], add: Callable[[Sequence[Any]], str | None]
) -> Callable[[Any], str | None]:
    return lambda row: add(values(row))


def open_part(part: Part, *, columns: Sequence[str], layout: Layout) -> OpenPart | None:
    """Opens a file of a table; None where it is delimited text without a line.

    Args:
        part: the file; a column that folders in the named one say has their value in each row, and
            one that folders above it say where the file lacks it.
        columns: those wanted.
        layout: of a text file.

    Raises:
        ValueError: a damaged file, or one whose header lacks a column.
    """
    stored = [column for column in columns if column not in part.constants]
    try:
        opened = _open(part, stored, layout)
    except MissingColumnError as error:
        around = part.around.keys() & error.missing
        if not around:
            raise
        said = {**{column: part.around[column] for column in around}, **part.constants}
        part = part._replace(constants=said, around={})
        return open_part(part, columns=columns, layout=layout)
    if opened is None:
        return None
    if opened.unseen & part.around.keys():  # of JSON, which has no header
        opened = _completed(opened, stored, part.around)
    if len(stored) == len(columns):
        return opened

    def values(row: Any) -> Sequence[Any]:
        found = iter(opened.values(row))
        return [
            part.constants[column] if column in part.constants else next(found)
            for column in columns
        ]

    return OpenPart(opened.rows, values, opened.unseen)


def _completed(
    opened: OpenPart, columns: Sequence[str], around: Mapping[str, str | None]
) -> OpenPart:
    """A file with what the folders say of the columns that no row had so far."""
    said = opened.unseen & around.keys()
    opened.unseen.difference_update(said)

    def values(row: Any) -> Sequence[Any]:
        found = opened.values(row)
        return [
            around[column] if value is None and column in said else value
            for column, value in zip(columns, found, strict=True)
        ]

    return opened._replace(values=values)


class MissingColumnError(ValueError):
    """A file lacks a column.

    Attributes:
        missing: all that it lacks.
        setting: how the first of them is named on a command line, below `data`.
    """

    def __init__(self, message: str, missing: Sequence[str]) -> None:
        """Takes what is said of the first of them."""
        super().__init__(message)
        self.missing = missing
        self.setting: str | None = None


@contextmanager
def columns_of(content: str, named: Mapping[str, str | list[str] | None]) -> Iterator[None]:
    """Says of a column that is missing which setting names it.

    Args:
        content: of the file, `interactions` or `items`.
        named: setting -> its column, or its columns.

    Raises:
        MissingColumnError: that of the block, with its setting.
    """
    try:
        yield
    except MissingColumnError as error:
        for setting, columns in named.items():
            if error.missing[0] == columns:
                error.setting = f"{content}.{setting}=<column>"
            elif isinstance(columns, list) and error.missing[0] in columns:
                error.setting = f"{content}.{setting}=[<column>]"
        raise


def _open(part: Part, columns: Sequence[str], layout: Layout) -> OpenPart | None:
    kind = kind_of(part.path)
    if kind in JSON_LINES:
        return OpenPart(*open_records(part.path, columns, encoding=layout.encoding, remedy=_REMEDY))
    if kind in DELIMITED:
        rows, values, header = open_delimited(part.path, columns, layout, remedy=_REMEDY)
        if not header:
            return None
        _check_columns(part, columns, header)
        return OpenPart(rows, values, set())
    return _open_parquet(part, columns, layout.encoding)


def _open_parquet(part: Part, columns: Sequence[str], encoding: str | None) -> OpenPart:
    try:
        schema = pl.read_parquet_schema(part.path)
        _check_columns(part, columns, list(schema))
        table = pl.read_parquet(part.path, columns=list(dict.fromkeys(columns)))
        table = table.select(_exact(column, schema[column]) for column in table.columns)
    except _DAMAGED as error:
        raise _damaged(part, error) from error
    rows = _parquet_rows(part, table, encoding or "utf-8")
    # A place for each wanted column, also where two are the same.
    places = [table.columns.index(column) for column in columns]
    if places == list(range(table.width)):
        return OpenPart(rows, lambda row: row, set())
    return OpenPart(rows, lambda row: [row[place] for place in places], set())


def _parquet_rows(
    part: Part, table: pl.DataFrame, encoding: str
) -> Iterator[tuple[int, Sequence[Any]]]:
    """Numbered rows; bytes are decoded, and it is said how many are not of the encoding."""
    binary = [place for place, dtype in enumerate(table.dtypes) if dtype == pl.Binary]
    misread = Misread(part.path)

    def decoded(number: int, raw: bytes | None) -> str | None:
        if raw is None:
            return None
        text = raw.decode(encoding, errors="replace")
        if "\ufffd" in text:
            misread.note(number, text, encoding=encoding, raw=raw)
        return text

    try:
        for number, values in enumerate(table.iter_rows(), start=1):
            row: Any = list(values) if binary else values
            for place in binary:
                row[place] = decoded(number, row[place])
            yield number, row
    except _DAMAGED as error:
        raise _damaged(part, error) from error
    misread.warn()


def _damaged(part: Part, error: BaseException) -> ValueError:
    said = " ".join(str(error).split())[:200]
    return ValueError(f"{part.path} is no whole Parquet file ({said}); {_REMEDY}")


def _exact(column: str, dtype: pl.DataType) -> pl.Expr:
    """A column as it is; nanoseconds, which Python's dates have not, as ISO dates with them."""
    if not isinstance(dtype, pl.Datetime) or dtype.time_unit != "ns":
        return pl.col(column)
    moment = pl.col(column)
    if dtype.time_zone:
        moment = moment.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return moment.dt.strftime("%Y-%m-%dT%H:%M:%S%.9f")


def _check_columns(part: Part, columns: Sequence[str], header: list[str]) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        names = [name if name.isprintable() else repr(name) for name in header[:_MOST_SHOWN]]
        shown = ", ".join(names)[:_LONGEST_SHOWN] or "none"
        raise MissingColumnError(
            f"{part.path} has no column {missing[0]!r}, it has: {shown}; "
            "name its columns in the settings of data, or in columns=[...] where it has no header",
            missing,
        )
    if twice := next((column for column in columns if header.count(column) > 1), None):
        raise ValueError(
            f"{part.path} has {header.count(twice)} columns of the name {twice!r}; give each a "
            "name of its own in its header, or in columns=[...] where it has none"
        )
