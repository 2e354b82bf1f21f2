"""How a line of delimited text becomes fields: which delimiter it has, which quotes."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

_DELIMITERS = ("\t", "::", ",", ";", "|", " ")  # the first two stand in no text
_TYPE = re.compile(r":(token|float)(_seq)?$")  # of RecBole's headers
_NUMBER = re.compile(r"[+-]?\d[\d.,]*")

# Python's limit of 131,072 characters a field is for the whole process.
csv.field_size_limit(2**31 - 1)


class Dialect(NamedTuple):
    """How a line becomes fields.

    Attributes:
        delimiter: between them.
        special: characters without which a line is split at the delimiters alone.
        csv: the rest, as Python's module takes it.
    """

    delimiter: str
    special: tuple[str, ...]
    csv: Any


def dialect_of(delimiter: str, *, quotes: bool, escape: str | None) -> Dialect:
    """The dialect with these settings; quotes need a delimiter of one character."""
    is_one = len(delimiter) == 1
    quotes = quotes and is_one
    parsed = csv.reader(
        [],
        delimiter=delimiter if is_one else ",",
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        escapechar=escape,
        strict=True,
    )
    special = (*(['"'] if quotes else []), *([escape] if escape else []))
    return Dialect(delimiter, special, parsed.dialect)


def untyped(name: str) -> str:
    """A column's name without the type of RecBole's headers, as in `user_id:token`."""
    return _TYPE.sub("", name)


def delimiter_of(
    head: Sequence[str],
    columns: Sequence[str],
    named: Sequence[str] | None,
    *,
    usual: str,
    escapes: bool,
) -> str:
    """The delimiter that makes of the first lines what is expected there, else the usual one.

    Args:
        head: the first lines; with a header at the top, unless columns are named.
        columns: those wanted, which a header has.
        named: the columns of a file without a header. Then it is the delimiter that gives most
            lines as many fields; of several such the one that stands in no text or is followed by
            no blank, as in prose, and then that which comes first in the line. A blank is the
            last resort.
        usual: of such a file.
        escapes: whether characters may be escaped, which needs a delimiter of one character.
    """
    tried = [one for one in _DELIMITERS if len(one) == 1 or not escapes]
    if not named:
        fits = (one for one in (usual, *tried) if _names(head[0], one) >= set(columns))
        there = (one for one in (usual, *tried[:-1]) if one in head[0])
        return next(fits, next(there, usual))  # the latter for the message of what is missing
    lines = [line for line in head if line]
    num_fitting = {
        one: sum(len(fields_alone(line, one)) == len(named) for line in lines) for one in tried
    }
    fitting = [one for one in tried if num_fitting[one]]
    if usual in fitting and (usual == "\t" or len(fitting) == 1):
        return usual

    def rank(one: str) -> tuple[bool, int, bool, int, int]:
        num_clean = sum(f"{one} " not in line for line in lines)
        place = lines[0].find(one)
        return (one != " ", num_fitting[one], one in ("\t", "::"), num_clean, -place)

    return max(fitting, key=rank, default=usual)


def _names(line: str, delimiter: str) -> set[str]:
    names = {name.strip(' "') for name in line.split(delimiter)}
    return {untyped(name) for name in names} | names


def fields_alone(line: str, delimiter: str, num_fields: int | None = None) -> list[str]:
    """The fields of a line that is a row by itself, whatever its quotes do.

    Args:
        line: without its break.
        delimiter: of one character or several.
        num_fields: how many there should be; where plain division gives these, it counts.
    """
    plain = line.split(delimiter)
    if len(plain) == num_fields or '"' not in line or len(delimiter) > 1:
        return plain
    with suppress(csv.Error):
        return next(csv.reader([line], delimiter=delimiter), plain)
    return plain


def look_alike(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows have numbers in the same columns, and blanks at the beginning of the same ones.

    What is empty says nothing, and what has a quote may be a number or none.
    """
    return all(_agree(column) for column in zip(*rows, strict=True))


def _agree(column: Sequence[str]) -> bool:
    told = [cell for cell in column if cell]
    are_numbers = {bool(_NUMBER.fullmatch(cell)) for cell in told if '"' not in cell}
    return len(are_numbers) < 2 and len({cell[0] == " " for cell in told}) < 2


def looks_like_header(head: Sequence[str], delimiter: str) -> bool:
    """Whether the first line has no digit, where all lines below have one in the same column."""
    names, *rows = (fields_alone(line, delimiter) for line in head if line)
    rows = [row for row in rows if len(row) == len(names)]
    if not rows or not all(names) or len(set(names)) < len(names) or _has_digit("".join(names)):
        return False
    return any(all(map(_has_digit, column)) for column in zip(*rows, strict=True))


def _has_digit(text: str) -> bool:
    return any(char.isdigit() for char in text)
