"""One's own interactions, whatever the columns are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from missrec.data.sources.choice import EventChoice
from missrec.data.sources.clock import Clock
from missrec.data.sources.events import EVENTS, RowBuffer
from missrec.data.sources.keys import read_key
from missrec.data.sources.lines import Rejects
from missrec.data.sources.parts import Part, find_parts
from missrec.data.sources.settings import a_number, a_word, layout, perhaps_a_word
from missrec.data.sources.tables import collect_table, columns_of
from missrec.data.sources.timeline import Timeline, timeline, with_fractions
from missrec.data.sources.units import MIXED, in_window, one_unit


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


class ReadEvents(NamedTuple):
    """What a table of interactions holds.

    Attributes:
        timeline: the events that are kept, in the order of the files.
        num_rows: that were read.
        num_left_out: that could be used and are not to be kept.
    """

    timeline: Timeline
    num_rows: int
    num_left_out: int


class OwnInteractions:
    """A table with one interaction a row."""

    def __init__(
        self,
        *,
        path: str | Sequence[str] | None,
        user: str,
        item: str,
        time: str | None,
        order: str | None,
        time_scale: float,
        delimiter: str | None = None,
        encoding: str | None = None,
        quoting: str | None = "standard",
        escape: str | None = None,
        columns: Sequence[str] | None = None,
        time_format: str | None = None,
        mixed_units: str = "refuse",
        event: str | None = None,
        keep_events: str | Sequence[str] | None = (),
        rating: str | None = None,
        min_rating: float | None = None,
        since: str | float | None = None,
        until: str | float | None = None,
    ) -> None:
        """Keeps the settings.

        Args:
            path: of the file, or files, see `find_parts`.
            user: column of the user's id.
            item: column of the item's id.
            time: column of the time, numbers in any unit or ISO dates; without a zone: UTC.
            order: column of numbers or dates that only give the order within a user. Without time
                and order, the order is that of the file.
            time_scale: numbers of the time are multiplied by this, then rounded to be stored; the
                order is that of the numbers as they are.
            delimiter: see `Layout`.
            encoding: see `Layout`.
            quoting: see `Layout`.
            escape: see `Layout`.
            columns: see `Layout`.
            time_format: of dates that are not ISO, as `datetime.strptime` takes it.
            mixed_units: see `one_unit`.
            event: see `EventChoice`.
            keep_events: see `EventChoice`.
            rating: see `EventChoice`.
            min_rating: see `EventChoice`.
            since: the first time that is kept, a date or a number as in the file; None for all.
            until: the first time that is not kept any more.

        Raises:
            UnnamedFileError: no path.
            ValueError: settings that cannot be, or do not go together.
        """
        if not path:
            raise UnnamedFileError("interactions")
        time, order = perhaps_a_word("time", time), perhaps_a_word("order", order)
        if time is not None and order is not None:
            raise ValueError(f"time ({time!r}) and order ({order!r}) are both given: choose one")
        if time is None and order is None and (since is not None or until is not None):
            raise ValueError("since and until need time, the column")
        if mixed_units not in MIXED:
            raise ValueError(f"mixed_units ({mixed_units!r}) must be one of {', '.join(MIXED)}")
        self.timed = time is not None
        self._paths = path
        self._user, self._item = a_word("user", user), a_word("item", item)
        self._place = time if time is not None else order
        self._scale = a_number("time_scale", time_scale) if self.timed else 1
        self._time_format = perhaps_a_word("time_format", time_format)
        self._layout = layout(delimiter, encoding, quoting, escape, columns)
        self._choice = EventChoice(
            event=event, keep_events=keep_events, rating=rating, min_rating=min_rating
        )
        self._mixed = mixed_units
        self._window = (since, until)
        self._clock()

    @property
    def parts(self) -> list[Part]:
        """The files, see `find_parts`."""
        return find_parts(self._paths or ())

    def read(self, rejects: Rejects) -> ReadEvents:
        """The events in the order of the files.

        Raises:
            FileNotFoundError, ValueError: see `find_parts`, `open_part` and `Rejects.collect`.
            MixedUnitsError: see `one_unit`.
        """
        columns = [self._user, self._item, *([self._place] if self._place else [])]
        place, chosen = len(columns) - 1, len(columns)
        columns += self._choice.columns
        buffer = RowBuffer(EVENTS)
        fractions = RowBuffer({"row": pl.Int64, "fraction": pl.String})
        clock = self._clock()
        num_left_out = 0

        def add(values: Sequence[Any]) -> None:
            nonlocal num_left_out
            if len(values) > chosen and not self._choice.keeps(values[chosen:]):
                num_left_out += 1
                return
            user, item = read_key(values[0], self._user), read_key(values[1], self._item)
            if self._place is None:
                buffer.add(user, item, len(buffer))
                return
            time, fraction = clock.read(values[place])
            if fraction:
                fractions.add(len(buffer), fraction)
            buffer.add(user, item, time)

        when = {"time" if self.timed else "order": self._place}
        with columns_of("interactions", {"user": self._user, "item": self._item, **when}):
            num_rows = collect_table(
                self.parts, columns=columns, layout=self._layout, rejects=rejects, add=add
            )
        self._choice.check()
        events = with_fractions(buffer.frame(), fractions.frame())
        num_read = len(events)
        if self.timed and self._place and clock.has_dates is False:
            events = one_unit(events, column=self._place, scale=self._scale, mixed=self._mixed)
        since, until = self._window
        if len(events):
            mixed = self._mixed if self.timed else "as_is"
            events = in_window(events, clock, since=since, until=until, mixed=mixed)
        num_left_out += num_read - len(events)
        return ReadEvents(timeline(events), num_rows, num_left_out)

    def _clock(self) -> Clock:
        return Clock(
            self._place or "",
            scale=self._scale,
            time_format=self._time_format,
            ranks=not self.timed,
        )
