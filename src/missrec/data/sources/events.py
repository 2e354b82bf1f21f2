"""Who took what when, as read: external ids, in the order of the file."""

from __future__ import annotations

from typing import Any

import polars as pl

EVENTS: dict[str, Any] = {"user_key": pl.Categorical, "item_key": pl.Categorical, "time": pl.Int64}
"""Categorical: each key is held once, however often it occurs."""

ITEM_ROWS: dict[str, Any] = {
    "item_key": pl.String,
    "text": pl.String,
    "image_urls": pl.List(pl.String),
}

LARGEST_TIME = 2**63 - 1
"""A time takes 64 bits."""

_ROWS_A_CHUNK = 2**18


class RowBuffer:
    """Collects rows one by one without keeping them as Python objects."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Starts empty; a row has one value per column of the schema."""
        self._schema = schema
        self._chunks: list[pl.DataFrame] = []
        self._rows: list[tuple[Any, ...]] = []
        self._num_packed = 0

    def __len__(self) -> int:
        """Number of rows."""
        return self._num_packed + len(self._rows)

    def add(self, *row: Any) -> None:
        """Takes in the next row."""
        self._rows.append(row)
        if len(self._rows) == _ROWS_A_CHUNK:
            self._pack()

    def frame(self) -> pl.DataFrame:
        """All rows, in the order they came."""
        self._pack()
        return pl.concat(self._chunks)

    def _pack(self) -> None:
        self._chunks.append(pl.DataFrame(self._rows, schema=self._schema, orient="row"))
        self._num_packed += len(self._rows)
        self._rows = []


def check_time(name: str, time: int) -> int:
    """The time itself.

    Raises:
        ValueError: it does not fit in 64 bits.
    """
    if abs(time) > LARGEST_TIME:
        raise ValueError(f"{name} {time} is too large")
    return time
