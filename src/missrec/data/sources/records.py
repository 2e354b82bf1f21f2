"""Objects of JSON files: one a line, or all in one array."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any

from missrec.data.sources.lines import read_object, stream_lines
from missrec.data.sources.parts import kind_of
from missrec.data.sources.values import shown

# Numbers as they are written: a float would round a time of 19 digits.
_DECODER = json.JSONDecoder(parse_float=Decimal)
_PYTHON = re.compile(r"\s*\{\s*(u\"|u?')")
_LONGEST_PYTHON = 1_000_000  # characters; to parse it takes a hundred times as many bytes
_EXPECTED = "expected is an object a line, or one array of objects"
_BLANKS = " \t\r\n"


def open_records(
    path: Path, columns: Sequence[str], *, encoding: str | None, remedy: str
) -> tuple[Iterator[tuple[int, Any]], Callable[[Any], Sequence[Any]], set[str]]:
    """The numbered raw rows of a file, what makes the wanted values of one, and names never seen.

    A raw row is a line that shall hold an object, or an entry of the array; the number is that of
    the line or of the entry, from 1. Of what a row lacks the value is None. The names of columns
    go from the set when a row has them.

    Args:
        path: `.jsonl` has lines; `.json` has these, or one array.
        columns: those wanted.
        encoding: see `stream_lines`.
        remedy: see `stream_lines`.
    """
    unseen = set(columns)

    def wanted(record: dict[str, Any]) -> list[Any]:
        if unseen:
            unseen.difference_update(record)
        return [record.get(column) for column in columns]

    def of_line(line: str) -> list[Any]:
        return wanted(_object_of(line))

    def of_entry(entry: Any) -> list[Any]:
        if not isinstance(entry, dict):
            raise ValueError("is no JSON object")
        return wanted(entry)

    lines = stream_lines(path, remedy=remedy, encoding=encoding)
    filled = ((number, line) for number, line in lines if line and not line.isspace())
    first = next(filled, (1, ""))
    start = first[1].strip()
    if start.startswith("[") and (
        kind_of(path) == ".json" or start == "[" or start.startswith("[{")
    ):
        text = "\n".join(line for _, line in chain([first], filled))
        return enumerate(_entries(path, text, remedy=remedy), start=1), of_entry, unseen
    following = list(islice(filled, 1))
    _check_shape(path, start, columns, next((line for _, line in following), ""))
    return chain([first] if first[1] else [], following, filled), of_line, unseen


def _object_of(line: str) -> dict[str, Any]:
    """The object of a line, of JSON or as Python writes it: `{u'user': 'ann', 'early': True}`."""
    try:
        return read_object(line, decode=_DECODER.decode)
    except ValueError:
        if not _PYTHON.match(line) or len(line) > _LONGEST_PYTHON:
            raise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of backslashes that mean nothing
        return read_object(line.strip(), decode=_literal)


def _literal(line: str) -> Any:
    try:
        return ast.literal_eval(line)
    except (SyntaxError, TypeError, MemoryError) as error:
        raise ValueError(f"nor one of Python: {error}") from error


def _check_shape(path: Path, first: str, columns: Sequence[str], second: str) -> None:
    """Refuses a file whose first lines show that it has no object a line.

    Raises:
        ValueError: says what it has, and what is expected.
    """
    is_cut = first[-1:] == "," and not second.lstrip().startswith("{")
    if first[:1] == "{" and (is_cut or first[-1:] in ("{", "[")):
        raise ValueError(f"{path} has an object over several lines; {_EXPECTED}")
    if second:
        return
    try:
        record = _object_of(first)
    except ValueError:
        return  # a bad row
    said = [record[column] for column in columns if column in record]
    if len(said) == len(columns) and all(
        isinstance(value, dict) and len(value) > 1 for value in said
    ):
        raise ValueError(
            f"{path} has an object a column, as pandas' to_json() writes it; {_EXPECTED}, "
            "which to_json(orient='records', lines=True) writes"
        )
    holders = (key for key, value in record.items() if _are_objects(value))
    if not said and (holder := next(holders, None)) is not None:
        raise ValueError(f"{path} has its rows in {shown(holder)} of an object; {_EXPECTED}")


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list)


def _entries(path: Path, text: str, *, remedy: str) -> Iterator[Any]:
    """The entries of an array, one after the other."""
    place, number, mark = 0, 0, "["
    while True:
        # What is before the next entry: the bracket that opens, or a comma.
        place = _skip_blanks(text, place)
        if text[place : place + 1] == "]" and number:
            break
        if text[place : place + 1] != mark:
            raise ValueError(f"{path} is no JSON array after entry {number}; {remedy}")
        place, mark = _skip_blanks(text, place + 1), ","
        if text[place : place + 1] == "]" and not number:
            break
        try:
            entry, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError, ArithmeticError) as error:
            raise ValueError(
                f"{path}, entry {number + 1} is no JSON ({error}); {remedy}"
            ) from error
        number += 1
        yield entry


def _skip_blanks(text: str, place: int) -> int:
    while place < len(text) and text[place] in _BLANKS:
        place += 1
    return place
