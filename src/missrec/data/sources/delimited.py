"""Rows of delimited text: CSV, TSV, RecBole's atomic files, and what has no name."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from missrec.data.sources.lines import check_encoding, stream_lines
from missrec.data.sources.parts import kind_of

TABBED = (".tsv", ".inter", ".item", ".user")
_UNQUOTED = (".inter", ".item", ".user")  # RecBole's files know no quotes
_DELIMITERS = ("\t", ",", ";", "|", "::", " ")
_QUOTINGS = ("standard", "none")
_LONGEST_ROW = 1000  # lines; a quote that is open longer was never meant to open
_TYPE = re.compile(r":(token|float)(_seq)?$")  # of RecBole's headers

_EXCEL = re.compile(r"sep=([^\"])")  # what Excel is told by a line above the header

# Python's limit of 131,072 characters a field is for the whole process.
csv.field_size_limit(2**31 - 1)

Lines = Iterator[tuple[int, str]]


class Layout(NamedTuple):
    """How the text of a file is laid out, as far as its suffix does not say it.

    Attributes:
        delimiter: between fields, one or several characters; None for what the first line has.
        encoding: see `stream_lines`.
        quoting: `standard`, or `none` where a double quote is a character as any other; of
            RecBole's files and between delimiters of several characters it always is.
        escape: a character that takes the meaning from the next one, such as a backslash.
        columns: names of the columns of a file without a header.
    """

    delimiter: str | None = None
    encoding: str | None = None
    quoting: str | None = "standard"
    escape: str | None = None
    columns: Sequence[str] | None = None

    def checked(self) -> Layout:
        """The same, with None for what says nothing.

        Raises:
            ValueError: one of the settings is none of these.
        """
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.delimiter == "" or set(self.delimiter or "") & set('"\r\n'):
            raise ValueError(
                f"delimiter ({self.delimiter!r}) must be one or more characters, none of them a "
                "double quote or a line break"
            )
        if self.quoting not in (None, *_QUOTINGS):
            raise ValueError(f"quoting ({self.quoting!r}) must be one of {', '.join(_QUOTINGS)}")
        if self.escape is not None and (len(self.escape) != 1 or self.escape == self.delimiter):
            raise ValueError(f"escape ({self.escape!r}) must be one character, no delimiter")
        if self.escape and len(self.delimiter or ",") > 1 and self.delimiter != r"\t":
            raise ValueError(f"escape needs a delimiter of one character, not {self.delimiter!r}")
        return self._replace(
            delimiter="\t" if self.delimiter == r"\t" else self.delimiter,
            columns=list(self.columns) if self.columns else None,
        )


class _Unreadable(str):
    """What stands where no row can be made out, and why."""

    __slots__ = ("reason",)
    reason: str


class _Dialect(NamedTuple):
    """How a line becomes fields.

    Attributes:
        delimiter: between them.
        special: characters without which a line is split at the delimiters alone.
        csv: the rest, as Python's module takes it.
    """

    delimiter: str
    special: tuple[str, ...]
    csv: Any


def open_delimited(
    path: Path, columns: Sequence[str], layout: Layout, *, remedy: str
) -> tuple[Iterator[tuple[int, Any]], Callable[[Any], Sequence[Any]], list[str]]:
    """The numbered raw rows of a file, what makes the wanted values of one, and its header.

    The second function raises ValueError for a row that has not as many fields as the header.

    Args:
        path: of the file.
        columns: those wanted; a type behind a name in the header, as in `user_id:token`, may be
            left out.
        layout: what the suffix does not say.
        remedy: see `stream_lines`.
    """
    lines = stream_lines(path, remedy=remedy, encoding=layout.encoding)
    first = _first_filled(lines)
    if said := _EXCEL.fullmatch(first[1]):
        layout, first = layout._replace(delimiter=said[1]), _first_filled(lines)
    dialect = _dialect(path, first[1], columns, layout)
    header, rows = _header(first, lines, dialect, layout)
    header = [name if name in columns else _TYPE.sub("", name) for name in header]
    places = [header.index(column) for column in columns if column in header]
    pick: Callable[[list[str]], Sequence[str]] = (
        itemgetter(*places) if len(places) > 1 else lambda row: [row[place] for place in places]
    )
    num_fields = len(header)

    def values(row: Any) -> Sequence[str]:
        if row.__class__ is list and len(row) == num_fields:
            return pick(row)
        if isinstance(row, _Unreadable):
            raise ValueError(row.reason)
        raise ValueError(f"has {len(row)} fields, the header has {num_fields}")

    return rows, values, header


def _first_filled(lines: Lines) -> tuple[int, str]:
    return next((line for line in lines if line[1]), (1, ""))


def _dialect(path: Path, first: str, columns: Sequence[str], layout: Layout) -> _Dialect:
    kind = kind_of(path)
    usual = "\t" if kind in TABBED else ","
    chosen = layout.delimiter
    if chosen is None or (kind in TABBED and chosen == ","):  # as the setting's default once was
        tried = [one for one in (usual, *_DELIMITERS) if len(one) == 1 or not layout.escape]
        fits = (one for one in tried if _divides(first, one, columns, layout.columns))
        chosen = next(fits, usual)
    quotes = layout.quoting == "standard" and len(chosen) == 1 and kind not in _UNQUOTED
    special = (*(['"'] if quotes else []), *([layout.escape] if layout.escape else []))
    parsed = csv.reader(
        [],
        delimiter=chosen if len(chosen) == 1 else ",",
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        escapechar=layout.escape,
        strict=True,
    )
    return _Dialect(chosen, special, parsed.dialect)


def _divides(
    first: str, delimiter: str, columns: Sequence[str], named: Sequence[str] | None
) -> bool:
    """Whether a delimiter makes of the first line what is expected there."""
    fields = first.split(delimiter)
    if named:
        return len(fields) == len(named)
    names = {name.strip(' "') for name in fields}
    return {_TYPE.sub("", name) for name in names} | names >= set(columns)


def _header(
    first: tuple[int, str], lines: Lines, dialect: _Dialect, layout: Layout
) -> tuple[list[str], Iterator[tuple[int, Any]]]:
    """The names of the columns, and the rows below."""
    if not layout.columns:
        (_, header), rest = _first_row(first, lines, dialect)
        names = [name.strip() for name in header] if isinstance(header, list) else []
        return names, _rows(rest, dialect, len(names))
    is_header = [name.strip(' "') for name in first[1].split(dialect.delimiter)] == layout.columns
    return list(layout.columns), _rows(
        lines if is_header else chain([first], lines), dialect, len(layout.columns)
    )


def _first_row(
    first: tuple[int, str], lines: Lines, dialect: _Dialect
) -> tuple[tuple[int, Any], Lines]:
    """The first row, and the lines below it."""
    waiting = deque([first])
    row = _row_of(waiting, lines, dialect, None)
    return row, chain(waiting, lines)


def _rows(lines: Lines, dialect: _Dialect, num_fields: int) -> Iterator[tuple[int, Any]]:
    """Numbered rows; a blank line is none. Where none can be made out: its first line alone."""
    delimiter, special, _ = dialect
    first, second = (*special, "\n", "\n")[:2]  # no line has a line break
    for number, line in lines:
        if first not in line and second not in line:
            if line:
                yield number, line.split(delimiter)
            continue
        waiting = deque([(number, line)])
        while waiting:
            row = _row_of(waiting, lines, dialect, num_fields)
            if row[1]:
                yield row


def _row_of(
    waiting: deque[tuple[int, str]], lines: Lines, dialect: _Dialect, num_fields: int | None
) -> tuple[int, Any]:
    """The row that begins with the first line that waits, which it takes with those it goes on in.

    Lines that turn out to be no part of it wait on.
    """
    number, line = waiting.popleft()
    if not any(char in line for char in dialect.special):
        return number, line.split(dialect.delimiter) if line else []
    taken: list[tuple[int, str]] = []

    def text() -> Iterator[str]:
        yield f"{line}\n"
        while len(taken) < _LONGEST_ROW:
            following = waiting.popleft() if waiting else next(lines, None)
            if following is None:
                return
            taken.append(following)
            yield f"{following[1]}\n"

    try:
        row = next(csv.reader(text(), dialect.csv), [])
    except csv.Error as error:
        wrong = f"{error}; a double quote opens there and does not close before a delimiter"
    else:
        wrong = _doubt([line, *(text for _, text in taken)], row, dialect, num_fields)
    if not wrong:
        return number, row
    waiting.extendleft(reversed(taken))
    unreadable = _Unreadable(line)
    unreadable.reason = (
        f"{wrong}: close it, double it where it is part of the value, or set quoting=none where "
        "quotes are letters as others"
    )
    return number, unreadable


def _doubt(lines: list[str], row: list[str], dialect: _Dialect, num_fields: int | None) -> str:
    """Why a row over several lines is none; empty where it is one."""
    if len(lines) == 1 or num_fields is None:
        return ""
    if len(row) != num_fields:
        return f"a double quote opens there and closes {len(lines) - 1} lines below, in another row"
    is_each_a_row = all(len(line.split(dialect.delimiter)) == num_fields for line in lines)
    # Between commas it may be prose; tabs are in none.
    if dialect.delimiter == "\t" and is_each_a_row:
        return f"a double quote opens there and closes {len(lines) - 1} lines below, each a row"
    return ""
