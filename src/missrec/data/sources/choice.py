"""Which interactions are kept, by what their rows say: the type of the event, and the rating."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from missrec.data.sources.clock import number_in
from missrec.data.sources.values import is_nothing, plain_text

_MOST_SHOWN = 20


class EventChoice:
    """Keeps events of some types, with at least some rating."""

    def __init__(
        self,
        *,
        event: str | None,
        keep_events: str | Sequence[str],
        rating: str | None,
        min_rating: float | None,
    ) -> None:
        """Keeps the settings.

        Args:
            event: column of the type.
            keep_events: types that are kept; none keeps all.
            rating: column of the rating, a number.
            min_rating: the least that is kept; None keeps all.

        Raises:
            ValueError: there is something to keep by, and no column is named.
        """
        types = [keep_events] if isinstance(keep_events, str) else list(keep_events)
        if types and event is None:
            raise ValueError(f"keep_events ({', '.join(map(str, types))}) needs event, the column")
        if min_rating is not None and rating is None:
            raise ValueError(f"min_rating ({min_rating}) needs rating, the column")
        self._types = {str(kind) for kind in types}
        self._event = event if types else None
        self._rating = rating if min_rating is not None else None
        self._least = None if min_rating is None else number_in(min_rating)
        if min_rating is not None and self._least is None:
            raise ValueError(f"min_rating ({min_rating!r}) is no number")
        self._seen: dict[str, None] = {}
        self.columns = [column for column in (self._event, self._rating) if column is not None]

    def keeps(self, values: Sequence[Any]) -> bool:
        """Whether a row is kept.

        Args:
            values: of `columns`, in their order.

        Raises:
            ValueError: the rating is no number.
        """
        if self._event is not None:
            kind = plain_text(values[0]).strip()
            is_kept = kind in self._types
            if is_kept or len(self._seen) < _MOST_SHOWN:
                self._seen[kind] = None
            if not is_kept:
                return False
        if self._rating is None or self._least is None:
            return True
        if is_nothing(values[-1]):
            return False  # nobody said that it is enough
        rating = number_in(values[-1])
        if rating is None:
            raise ValueError(f"{self._rating} {values[-1]!r} is no number")
        return rating >= self._least

    def check(self) -> None:
        """Refuses types of which no row had any: they are misspelt.

        Raises:
            ValueError: says which there are.
        """
        if self._event and self._seen and not self._types & set(self._seen):
            raise ValueError(
                f"no row has {self._event} {' or '.join(map(repr, sorted(self._types)))}, there "
                f"are: {', '.join(map(repr, sorted(self._seen)))}"
            )
