"""External ids: a cell as a key, and which keys of a column are the same id."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import polars as pl

from missrec.data.sources.text import UNPRINTABLE
from missrec.data.sources.values import NULLS, is_nothing, shown, unwritten

WHOLE = r"^(-?\d+)\.0*$"
"""A whole number with decimals: 7.0."""

_NUMBER = r"^-?\d+\."


def read_key(value: Any, column: str) -> str:
    """An id of any type as a string: 12, 12.0 and "12" are the same.

    Raises:
        ValueError: there is none, or it cannot be one, see `check_key`.
    """
    if (
        type(value) is str
        and value.isalnum()
        and value.isascii()
        and (not value.isalpha() or value not in NULLS)  # the former is faster
    ):
        return value  # what most are
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    elif isinstance(value, str) and value.startswith(("b'", 'b"')):
        value = unwritten(value)
    if is_nothing(value):
        raise ValueError(f"{column} is missing")
    is_endless = isinstance(value, float | Decimal) and not math.isfinite(value)
    if isinstance(value, list | dict | bool) or is_endless:
        raise ValueError(f"{column} {shown(value)} is no id")
    if isinstance(value, float):
        value = int(value) if value.is_integer() else value
    elif isinstance(value, Decimal):
        value = f"{value:f}" if -20 < value.adjusted() < 20 else str(value)
        value = value.rstrip("0").rstrip(".") if "." in value else value
    key = str(value).strip()
    check_key(column, key)
    return key


def check_key(name: str, key: str) -> None:
    """Refuses what cannot be an external id.

    Raises:
        ValueError: the key is empty, or holds a control character or bytes that are no UTF-8.
    """
    if not key:
        raise ValueError(f"{name} is missing")
    if "\ufffd" in key:
        raise ValueError(f"{name} holds bytes that are no UTF-8")
    if not key.isprintable() and UNPRINTABLE.search(key):
        raise ValueError(f"{name} holds a control character")


def one_spelling(keys: pl.Series) -> pl.Series:
    """Keys of a column, `7.0` as `7`: gaps in a column of whole numbers make tools write so.

    As they are where any is a number with decimals, or goes on after them: `7.5`, `7.0.1`.
    """
    is_whole = keys.str.contains(WHOLE)
    if not is_whole.any() or keys.str.contains(_NUMBER).sum() > is_whole.sum():
        return keys
    return keys.str.replace(WHOLE, "$1")


def without_twins(keys: pl.Series) -> pl.Series:
    """Keys of a list of items, in which `7` and `7.0` are spelled as one; see `one_spelling`.

    As they are where no two are the same number.
    """
    spelled = one_spelling(keys)
    return spelled if spelled.n_unique() < keys.n_unique() else keys


def known_spelling(keys: pl.Series, known: pl.Series) -> pl.Series:
    """Keys as a list of known ones spells them: `7.0` as `7`, and the other way round.

    As they are where the list has them so, has none, or has several: `7.0` beside `7.00`.
    """
    if not (keys.str.contains(WHOLE).any() or known.str.contains(WHOLE).any()):
        return keys
    spelled = pl.DataFrame({"known": known, "plain": _plain(known)})
    spelled = spelled.unique("plain", keep="none")
    found = pl.DataFrame({"key": keys, "plain": _plain(keys)}).join(
        spelled, on="plain", how="left", maintain_order="left"
    )
    as_is = found["key"].is_in(known.implode())
    return found.select(
        pl.when(as_is).then("key").otherwise(pl.coalesce("known", "key")).alias("key")
    )["key"]


def _plain(keys: pl.Series) -> pl.Series:
    return keys.str.replace(WHOLE, "$1")
