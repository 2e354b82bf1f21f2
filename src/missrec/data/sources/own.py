"""One's own interactions and items, whatever the columns are called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from missrec.data.domain import PreparedDomain
from missrec.data.sources.events import EVENTS, ITEM_ROWS, RowBuffer, check_key, check_time
from missrec.data.sources.filtering import InteractionFilter
from missrec.data.sources.lines import Rejects
from missrec.data.sources.tables import Row, open_table
from missrec.data.sources.text import item_text
from missrec.files import sha256


class UnnamedFileError(ValueError):
    """Nobody said where the user's own data is.

    Attributes:
        content: of the file: `interactions` or `items`.
    """

    def __init__(self, content: str) -> None:
        """Takes what the file would hold."""
        super().__init__(content)
        self.content = content

    def __str__(self) -> str:
        """What is the case."""
        return f"no file of {self.content} is named"


class OwnInteractions:
    """A file with one interaction a row."""

    def __init__(
        self,
        *,
        path: str | None,
        user: str,
        item: str,
        time: str | None,
        order: str | None,
        time_scale: float,
        delimiter: str,
    ) -> None:
        """Keeps the settings.

        Args:
            path: of the file, see `open_table`.
            user: column of the user's id.
            item: column of the item's id.
            time: column of the time, numbers in any unit or ISO dates; without a zone: UTC.
            order: column of numbers or dates that only give the order within a user. Without time
                and order, the order is that of the file.
            time_scale: numbers of the time are multiplied by this, then rounded.
            delimiter: of a CSV file.

        Raises:
            UnnamedFileError: no path.
            ValueError: both time and order.
        """
        if path is None:
            raise UnnamedFileError("interactions")
        if time is not None and order is not None:
            raise ValueError(f"time ({time!r}) and order ({order!r}) are both given: choose one")
        self.path = Path(path)
        self.timed = time is not None
        self._user, self._item = user, item
        self._place = time if time is not None else order
        self._scale = time_scale
        self._delimiter = delimiter

    def read(self, rejects: Rejects) -> tuple[pl.DataFrame, int]:
        """The events in the order of the file, and the number of rows.

        Raises:
            FileNotFoundError, ValueError: see `open_table` and `Rejects.collect`.
        """
        columns = [self._user, self._item, *([self._place] if self._place else [])]
        rows, columns_of = open_table(self.path, columns=columns, delimiter=self._delimiter)
        buffer = RowBuffer(EVENTS)
        clock = _Clock(scale=self._scale)

        def parse(raw: Any) -> None:
            row = columns_of(raw)
            user, item = _key(row, self._user), _key(row, self._item)
            buffer.add(user, item, clock.read(row, self._place) if self._place else len(buffer))

        num_rows = rejects.collect(self.path, rows, parse)
        return buffer.frame(), num_rows


class OwnItems:
    """A file with one item a row."""

    def __init__(
        self,
        *,
        path: str | None,
        item: str,
        texts: Sequence[str],
        images: Sequence[str],
        delimiter: str,
    ) -> None:
        """Keeps the settings.

        Args:
            path: of the file, see `open_table`.
            item: column of the item's id.
            texts: columns of its text, in order; each becomes a sentence, see `clean_text`.
            images: columns of addresses of its images, best first; a value may be a list.
            delimiter: of a CSV file.

        Raises:
            UnnamedFileError: no path.
        """
        if path is None:
            raise UnnamedFileError("items")
        self.path = Path(path)
        self._item = item
        self._texts = texts
        self._images = images
        self._delimiter = delimiter

    def read(self, rejects: Rejects) -> tuple[pl.DataFrame, int]:
        """The items, each once, the first of several; and the number of rows.

        Raises:
            FileNotFoundError, ValueError: see `open_table` and `Rejects.collect`; or a column does
                not occur.
        """
        columns = [self._item, *self._texts, *self._images]
        rows, columns_of = open_table(self.path, columns=columns, delimiter=self._delimiter)
        buffer = RowBuffer(ITEM_ROWS)
        never_seen = set(columns)

        def parse(raw: Any) -> None:
            row = columns_of(raw)
            never_seen.difference_update(row)
            urls: list[str] = []
            for column in self._images:
                value = row.get(column)
                urls += [url for url in (value if isinstance(value, list) else [value]) if url]
            text = item_text(row.get(column) for column in self._texts)
            buffer.add(_key(row, self._item), text, [str(url) for url in urls])

        num_rows = rejects.collect(self.path, rows, parse)
        if num_rows and never_seen:
            raise ValueError(
                f"{self.path}: no row has {sorted(never_seen)[0]!r}; name its columns in the "
                "settings of data.items"
            )
        return buffer.frame().unique("item_key", keep="first", maintain_order=True), num_rows


class OwnDomain:
    """A domain from one's own files."""

    def __init__(
        self,
        *,
        name: str,
        interactions: OwnInteractions,
        items: OwnItems,
        interaction_filter: InteractionFilter,
        rejects: Rejects,
    ) -> None:
        """Keeps the parts; nothing is read yet.

        Args:
            name: of the domain.
            interactions: who took what.
            items: what there is.
            interaction_filter: which interactions stay.
            rejects: takes the rows that cannot be used.
        """
        self._name = name
        self._interactions = interactions
        self._items = items
        self._filter = interaction_filter
        self._rejects = rejects

    def read(self) -> PreparedDomain:
        """The whole domain.

        Raises:
            FileNotFoundError, ValueError: a file is missing or damaged, lacks a column, has too
                many rows that cannot be used, or no interaction is left.
        """
        with self._rejects:
            events, num_rows = self._interactions.read(self._rejects)
            items, num_item_rows = self._items.read(self._rejects)
        paths = (self._interactions.path, self._items.path)
        return self._filter.domain(
            name=self._name,
            events=events,
            items=items,
            timed=self._interactions.timed,
            num_rows=num_rows,
            settings={
                "source": "own files",
                "files": {path.name: sha256(path) for path in paths},
                "rejected_rows": self._rejects.num_rejected,
                "item_rows": num_item_rows,
                "items": len(items),
            },
            published={},
        )


class _Clock:
    """Reads times as whole numbers; the first one decides whether the column has dates."""

    def __init__(self, *, scale: float) -> None:
        self._scale = scale
        self._has_dates: bool | None = None

    def read(self, row: Row, column: str) -> int:
        """The time of a row; of a date, microseconds since 1970."""
        value = row.get(column)
        if value is None or value == "":
            raise ValueError(f"{column} is missing")
        number = _number(value)
        time = _moment(value) if number is None else round(number * self._scale)
        if time is None:
            raise ValueError(f"{column} {value!r} is neither a number nor an ISO date")
        is_date = number is None
        if self._has_dates is None:
            self._has_dates = is_date
        if self._has_dates != is_date:
            kinds = ("a date", "a number") if is_date else ("a number", "a date")
            raise ValueError(f"{column} {value!r} is {kinds[0]}, the first one is {kinds[1]}")
        return check_time(column, time)


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _moment(value: Any) -> int | None:
    """Microseconds since 1970 of an ISO date or a datetime."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, date):
        return None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # UTC, below
    zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
    return int((zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


def _key(row: Row, column: str) -> str:
    """An id of any type as a string: 12, 12.0 and "12" are the same."""
    value = row.get(column)
    if isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    if value is None:
        raise ValueError(f"{column} is missing")
    if isinstance(value, list | dict | bool):
        raise ValueError(f"{column} {value!r} is no id")
    key = str(value).strip()
    check_key(column, key)
    return key
