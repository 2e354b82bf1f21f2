"""Histories and lists of keys from one's own files, whatever their format."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from missrec.data.sources.delimited import Layout
from missrec.data.sources.keys import read_key
from missrec.data.sources.lines import Rejects, stream_lines
from missrec.data.sources.parts import JSON_LINES, PARQUET, Part, find_parts, kind_of
from missrec.data.sources.tables import MissingColumnError, collect_table, open_part
from missrec.data.sources.values import is_nothing, unwritten

_REMEDY = "copy it again"

Take = Callable[[str, Sequence[str]], None]
"""Takes the key of a history and its items, oldest first."""


class HistoryColumns(NamedTuple):
    """How the columns of a table of histories are called.

    Attributes:
        history: of the key of each history.
        items: of lists of item keys, oldest first; a history a row.
        item: of an item key, where the table has no lists: an item a row, in order.
    """

    history: str
    items: str
    item: str


def read_histories(
    named: str | Sequence[str],
    columns: HistoryColumns,
    *,
    layout: Layout,
    rejects: Rejects,
    take: Take,
) -> None:
    """Hands each history of a table to `take`, in the order of their first rows.

    A table of lists is read row by row. One with an item a row is kept whole, eight bytes a row,
    as the rows of a history need not stand together.

    Args:
        named: the files, see `find_parts`.
        columns: their names.
        layout: of text files.
        rejects: takes rows that cannot be used.
        take: gets the key as it is in the file, and the item keys.

    Raises:
        FileNotFoundError, ValueError: see `find_parts`, `collect_table`; or neither of the columns
            of items is there.
    """
    parts = find_parts(named)
    if _has_lists(parts[0], columns, layout):
        _read_lists(parts, columns, layout, rejects, take)
    else:
        _read_rows(parts, columns, layout, rejects, take)


def read_keys(
    named: str | Sequence[str], column: str, *, layout: Layout, rejects: Rejects
) -> list[str]:
    """The keys of a list, each once, in their order.

    A `.txt` holds a key a line, unless its first line is the name of the column.

    Args:
        named: the files, see `find_parts`.
        column: of the keys; others in the table do not matter.
        layout: of text files.
        rejects: takes rows that cannot be used.

    Raises:
        FileNotFoundError, ValueError: see `find_parts` and `collect_table`.
    """
    found: dict[str, None] = {}
    parts = find_parts(named)

    def add(values: Sequence[Any]) -> None:
        found[read_key(values[0], column)] = None

    if all(kind_of(part.path) == ".txt" for part in parts) and not _has_header(parts[0], column):
        rejects.collect_parts(
            str(parts[0].path),
            ((part.name, _lines(part, layout), lambda line: add([line])) for part in parts),
        )
    else:
        collect_table(parts, columns=[column], layout=layout, rejects=rejects, add=add)
    return list(found)


def _lines(part: Part, layout: Layout) -> Iterator[tuple[int, str]]:
    lines = stream_lines(part.path, remedy=_REMEDY, encoding=layout.encoding)
    return ((number, line) for number, line in lines if line.strip())


def _has_header(part: Part, column: str) -> bool:
    first = next(stream_lines(part.path, remedy=_REMEDY), (1, ""))[1]
    return column in (name.strip(' "') for name in first.replace("\t", ",").split(","))


def _has_lists(part: Part, columns: HistoryColumns, layout: Layout) -> bool:
    """Whether a table has a column of lists; of JSON the first object tells."""
    kind = kind_of(part.path)
    if kind in PARQUET:
        with suppress(pl.exceptions.PolarsError, OSError):  # a damaged file is told when it is read
            return columns.items in pl.read_parquet_schema(part.path)
    try:
        opened = open_part(part, columns=[columns.items], layout=layout)
    except MissingColumnError:
        return False
    if opened is None or kind not in JSON_LINES:
        return opened is not None
    try:
        return next((opened.values(row)[0] is not None for _, row in opened.rows), True)
    except ValueError:
        return True  # a bad row, which is told when it is read


def _read_lists(
    parts: Sequence[Part],
    columns: HistoryColumns,
    layout: Layout,
    rejects: Rejects,
    take: Take,
) -> None:
    seen: set[str] = set()

    def add(values: Sequence[Any]) -> None:
        key = read_key(values[0], columns.history)
        items = [read_key(one, columns.items) for one in _listed(values[1], columns.items)]
        if key in seen:
            raise ValueError(f"{columns.history} {key!r} is there a second time")
        seen.add(key)
        take(key, items)

    named = [columns.history, columns.items]
    collect_table(parts, columns=named, layout=layout, rejects=rejects, add=add)


def _read_rows(
    parts: Sequence[Part],
    columns: HistoryColumns,
    layout: Layout,
    rejects: Rejects,
    take: Take,
) -> None:
    histories, items = _Codes(), _Codes()

    def add(values: Sequence[Any]) -> None:
        key, item = read_key(values[0], columns.history), read_key(values[1], columns.item)
        histories.add(key)
        items.add(item)

    named = [columns.history, columns.item]
    try:
        collect_table(parts, columns=named, layout=layout, rejects=rejects, add=add)
    except MissingColumnError as error:
        if columns.item not in error.missing:
            raise
        raise MissingColumnError(
            f"{parts[0].path} has neither a column {columns.items!r} of lists nor a column "
            f"{columns.item!r} of an item a row",
            error.missing,
        ) from error
    for key, own in _grouped(histories, items):
        take(key, own)


class _Codes:
    """Keys as numbers, in the order of their first occurrence."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._codes = array("i")

    def add(self, key: str) -> None:
        self._codes.append(self._of.setdefault(key, len(self._of)))

    @property
    def keys(self) -> list[str]:
        return list(self._of)

    @property
    def codes(self) -> np.ndarray:
        return np.frombuffer(self._codes, dtype=np.intc)


def _grouped(histories: _Codes, items: _Codes) -> Iterable[tuple[str, list[str]]]:
    item_keys = items.keys
    order = np.argsort(histories.codes, kind="stable")
    bounds = np.cumsum([0, *np.bincount(histories.codes, minlength=len(histories.keys))])
    for key, (start, end) in zip(histories.keys, pairwise(bounds.tolist()), strict=True):
        yield key, [item_keys[code] for code in items.codes[order[start:end]].tolist()]


def _listed(cell: Any, column: str) -> Sequence[Any]:
    """A cell of a list column: a list, or one that is written in a text; nothing is an empty one.

    Raises:
        ValueError: it is none.
    """
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            cell = unwritten(cell)
    if is_nothing(cell):
        return ()
    if not isinstance(cell, list | tuple):
        raise ValueError(f'{column} is no list of keys, such as ["a", "b"]')
    return cell
