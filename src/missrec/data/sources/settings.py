"""Settings of own data as they come from a file or a command line, checked in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from missrec.data.sources.delimited import Layout
from missrec.data.sources.values import shown


def a_word(name: str, value: Any) -> str:
    """A setting that is a text, such as the name of a column: a number is its digits.

    Raises:
        ValueError: it is nothing, a truth value or a list.
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    hint = "; in quotes where it is one" if isinstance(value, bool) else ""
    raise ValueError(f"{name} ({shown(value)}) must be a text{hint}")


def perhaps_a_word(name: str, value: Any) -> str | None:
    """The same, or None."""
    return None if value is None else a_word(name, value)


def words(name: str, value: Any) -> list[str]:
    """A setting that is a list of texts, of which one alone needs no brackets.

    Raises:
        ValueError: it is neither.
    """
    if value is None:
        return []
    is_several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return [a_word(name, one) for one in (value if is_several else [value])]


def kinds(name: str, value: Any) -> list[str]:
    """A list of what stands in cells, among them truth values: `true` is `True`.

    Raises:
        ValueError: it is none.
    """
    several = value if isinstance(value, list | tuple) else [value]
    return words(name, [str(one) if isinstance(one, bool) else one for one in several])


def a_number(name: str, value: Any) -> float:
    """A setting that is a number.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError(f"{name} ({shown(value)}) must be a number")


def layout(delimiter: Any, encoding: Any, quoting: Any, escape: Any, columns: Any) -> Layout:
    """How the text of a file is laid out, see `Layout`.

    Raises:
        ValueError: one of the settings is none of these.
    """
    return Layout(
        perhaps_a_word("delimiter", delimiter),
        perhaps_a_word("encoding", encoding),
        perhaps_a_word("quoting", quoting),
        perhaps_a_word("escape", escape),
        words("columns", columns),
    ).checked()
