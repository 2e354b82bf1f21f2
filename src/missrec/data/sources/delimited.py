"""Rows of delimited text: CSV, TSV, RecBole's atomic files, and what has no name."""

from __future__ import annotations

import csv
import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from missrec.data.sources.dialects import (
    Dialect,
    delimiter_of,
    dialect_of,
    fields_alone,
    look_alike,
    looks_like_header,
    untyped,
)
from missrec.data.sources.lines import check_encoding, stream_lines
from missrec.data.sources.parts import kind_of

TABBED = (".tsv", ".inter", ".item", ".user")
_UNQUOTED = (".inter", ".item", ".user")  # RecBole's files know no quotes
_QUOTINGS = ("standard", "none")
_NUM_SEEN = 20  # lines below the first, by which the delimiter is found
_SHOWN_CHARS = 80
_LONGEST_ROW = 1000  # lines; a quote that is open longer was never meant to open
_EXCEL = re.compile(r"sep=([^\"])")  # what Excel is told by a line above the header

_log = logging.getLogger(__name__)

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
    following = list(islice(lines, _NUM_SEEN))
    head = [first[1], *(line for _, line in following)]
    dialect = _dialect(path, head, columns, layout)
    below: Lines = chain(following, lines)
    if layout.columns:
        header = list(layout.columns)
        rest = below if _is_header(path, head, dialect, header) else chain([first], below)
    else:
        header, rest = _header(path, first, below, dialect)
    header = [name if name in columns else untyped(name) for name in header]
    rows = _rows(path, rest, dialect, len(header))
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


def _dialect(path: Path, head: Sequence[str], columns: Sequence[str], layout: Layout) -> Dialect:
    kind = kind_of(path)
    chosen = layout.delimiter
    if chosen is None or (kind in TABBED and chosen == ","):  # as the setting's default once was
        usual = "\t" if kind in TABBED else ","
        chosen = delimiter_of(
            head, columns, layout.columns, usual=usual, escapes=bool(layout.escape)
        )
    quotes = layout.quoting == "standard" and kind not in _UNQUOTED
    return dialect_of(chosen, quotes=quotes, escape=layout.escape)


def _is_header(path: Path, head: Sequence[str], dialect: Dialect, columns: Sequence[str]) -> bool:
    """Whether the first line names the columns although they are told; other names are doubted."""
    names = [untyped(name.strip(' "')) for name in head[0].split(dialect.delimiter)]
    if [name.casefold() for name in names] == [untyped(name).casefold() for name in columns]:
        return True
    if looks_like_header(head, dialect.delimiter):
        _log.warning(
            "%s: the first line looks like names of columns, but is read as a row: %r; if it is "
            "a header, leave out columns=[...] and name its columns",
            path,
            head[0][:_SHOWN_CHARS],
        )
    return False


def _header(
    path: Path, first: tuple[int, str], lines: Lines, dialect: Dialect
) -> tuple[list[str], Lines]:
    """The names of the columns, none in a file without a line, and the lines below.

    Raises:
        ValueError: a quote in the header takes rows with it.
    """
    waiting = deque([first])
    _, names = _row_of(waiting, lines, dialect, None, [])
    if isinstance(names, _Unreadable):
        raise ValueError(f"{path}, line {first[0]}: {names.reason}")
    return [name.strip() for name in names], chain(waiting, lines)


def _rows(path: Path, lines: Lines, dialect: Dialect, num_fields: int) -> Iterator[tuple[int, Any]]:
    """Numbered rows; a blank line is none. Where none can be made out: its first line alone."""
    delimiter, special, _ = dialect
    first, second = (*special, "\n", "\n")[:2]  # no line has a line break
    doubted: list[int] = []
    for number, line in lines:
        if first not in line and second not in line:
            if line:
                yield number, line.split(delimiter)
            continue
        waiting = deque([(number, line)])
        while waiting:
            row = _row_of(waiting, lines, dialect, num_fields, doubted)
            if row[1]:
                yield row
    if doubted:
        _log.warning(
            "%s: %s rows go over lines that may be rows themselves, the first is %s; look there, "
            "and set quoting=none if double quotes are letters",
            path,
            f"{len(doubted):,}",
            doubted[0],
        )


def _row_of(
    waiting: deque[tuple[int, str]],
    lines: Lines,
    dialect: Dialect,
    num_fields: int | None,
    doubted: list[int],
) -> tuple[int, Any]:
    """The row that begins with the first line that waits, which it takes with those it goes on in.

    Lines that turn out to be no part of it wait on. Its number is added to those doubted where it
    is a row as it stands, and its lines may be rows too.
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
        if not taken:
            return number, row
        each = [
            fields_alone(one, dialect.delimiter, num_fields or len(row))
            for one in (line, *(text for _, text in taken))
        ]
        wrong = _doubt(each, row, dialect, num_fields)
        if not wrong:
            if _are_rows(each, row, dialect.delimiter):
                doubted.append(number)
            return number, row
    waiting.extendleft(reversed(taken))
    unreadable = _Unreadable(line)
    unreadable.reason = (
        f"{wrong}: close it, double it where it is part of the value, or set quoting=none where "
        "quotes are letters as others"
    )
    return number, unreadable


def _doubt(
    each: Sequence[Sequence[str]], row: list[str], dialect: Dialect, num_fields: int | None
) -> str:
    """Why a row over several lines is none; empty where it is one.

    Lines that are prose may have as many delimiters as a row, but for tabs; they do not look alike.
    """
    opens = f"a double quote opens there and closes {len(each) - 1} lines below"
    if num_fields not in (None, len(row)):
        return f"{opens}, in another row"
    if not _are_rows(each, row, dialect.delimiter):
        return ""
    is_sure = dialect.delimiter == "\t" or num_fields is None or look_alike(each)
    return f"{opens}, each a row" if is_sure else ""


def _are_rows(each: Sequence[Sequence[str]], row: list[str], delimiter: str) -> bool:
    """Whether each line is a row too: the quote that opens in the first takes no delimiter."""
    are_whole = all(len(fields) == len(row) for fields in each)
    return len(row) > 1 and are_whole and delimiter not in each[0][-1]
