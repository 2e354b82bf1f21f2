"""What stands in a cell, as a plain text: whatever the format of the file made of it."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

NULLS = frozenset({r"\N", "nan", "NaN", "NaT", "NULL", "null", "None", "<NA>"})
"""Texts that tools write where there is nothing: MySQL, Hive and Spark, and pandas."""

_LONGEST_TEXT = 100_000  # characters of a list in Python's own notation
_LONGEST_SHOWN = 80
_ENDS = (("[", "]"), ("{", "}"), ("(", ")"))
_BYTES = re.compile(r"b'.*'|b\".*\"", re.DOTALL)  # as Python shows them
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_QUOTED_ALONE = re.compile(  # possessive, so that it takes one walk
    r"(?:[\[\](){},\s]++|nan|None|'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\")*+", re.DOTALL
)


def is_nothing(value: Any) -> bool:
    """Whether a cell says nothing: it is empty, or one of `NULLS`."""
    return _is_empty(value) or (isinstance(value, str) and value.strip() in NULLS)


def scalars(value: Any) -> Iterator[Any]:
    """What lists in lists and the values of objects hold, in their order, without the empty ones.

    Bytes are decoded as UTF-8, what is none becomes U+FFFD.
    """
    waiting = [value]
    while waiting:  # no recursion: JSON may be nested deeper than Python goes
        value = waiting.pop()
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, Mapping):
            value = list(value.values())
        if isinstance(value, list | tuple):
            waiting.extend(reversed(value))
        elif not _is_empty(value):
            yield value


def plain_text(value: Any) -> str:
    """A cell as a text; what lists and objects hold is joined by blanks."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        with suppress(TypeError):  # mostly texts alone
            return " ".join(value)
    return " ".join(map(str, scalars(value)))


def unwritten(text: str) -> Any:
    """The list or the object that is written in a text; the text itself where none is.

    In JSON, as Python shows it, `['Toys', nan]`, as numpy shows arrays, without commas, or as
    PostgreSQL does, `{"Toys","Games"}`. One without any quotes is a text: `[REC]`. Bytes that
    Python wrote, `b'Toys'`, are the text in them.
    """
    inner = text.strip()
    if _BYTES.fullmatch(inner):
        raw = python_literal(inner)
        return raw.decode(errors="replace") if isinstance(raw, bytes) else text
    is_enclosed = (inner[:1], inner[-1:]) in _ENDS
    if is_enclosed and not inner[1:-1].strip():
        return []
    if not is_enclosed or ("'" not in inner and '"' not in inner):
        return text
    with suppress(ValueError, RecursionError):
        return json.loads(inner)
    if _QUOTED_ALONE.fullmatch(inner):
        return quoted_in(inner)
    value = python_literal(inner)
    return value if isinstance(value, list | tuple | dict) else text


def quoted_in(text: str) -> list[str]:
    """The texts in single or double quotes, one after the other."""
    quoted = (single or double for single, double in _QUOTED.findall(text))
    return [re.sub(r"\\(.)", r"\1", one) for one in quoted]


def shown(value: Any) -> str:
    """A value for a message, which is one line: as Python writes it, its beginning alone."""
    if isinstance(value, str | bytes):
        return repr(value[:_LONGEST_SHOWN])
    return repr(value)[:_LONGEST_SHOWN]


def python_literal(text: str) -> Any:
    """What a text is in Python's notation; None where it is nothing."""
    if len(text) > _LONGEST_TEXT:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # of backslashes in it
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _is_empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, float) and math.isnan(value))
