"""Which interactions are kept, by what their rows say: the type of the event, and the rating."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from missrec.data.sources.clock import number_in
from missrec.data.sources.keys import WHOLE
from missrec.data.sources.settings import kinds, perhaps_a_word
from missrec.data.sources.values import is_nothing, plain_text, quoted

_log = logging.getLogger(__name__)
_MOST_SHOWN = 20


class EventChoice:
    """Keeps events of some types, with at least some rating."""

    def __init__(
        self,
        *,
        event: str | None,
        keep_events: str | Sequence[str] | None,
        rating: str | None,
        min_rating: float | None,
    ) -> None:
        """Keeps the settings.

        Args:
            event: column of the type; it must be there also where nothing is kept by it.
            keep_events: types that are kept; none keeps all.
            rating: column of the rating, a number.
            min_rating: the least that is kept; None keeps all.

        Raises:
            ValueError: there is something to keep by, and no column is named.
        """
        types = [] if keep_events is None else kinds("keep_events", keep_events)
        if types and event is None:
            raise ValueError(f"keep_events ({', '.join(types)}) needs event, the column")
        if min_rating is not None and rating is None:
            raise ValueError(f"min_rating ({min_rating}) needs rating, the column")
        self._types = {_spelled(kind): kind for kind in types}
        self._event, self._rating = perhaps_a_word("event", event), perhaps_a_word("rating", rating)
        self._least = None if min_rating is None else number_in(min_rating)
        if min_rating is not None and self._least is None:
            raise ValueError(f"min_rating ({min_rating!r}) is no number")
        self._seen: dict[str, str] = {}
        self.columns = [column for column in (self._event, self._rating) if column is not None]

    def keeps(self, values: Sequence[Any]) -> bool:
        """Whether a row is kept.

        Args:
            values: of `columns`, in their order.

        Raises:
            ValueError: the rating is no number.
        """
        if self._types:
            shown_kind = plain_text(values[0]).strip()
            kind = _spelled(shown_kind)
            is_kept = kind in self._types
            if is_kept or len(self._seen) < _MOST_SHOWN:
                self._seen[kind] = shown_kind
            if not is_kept:
                return False
        if self._least is None:
            return True
        if is_nothing(values[-1]):
            return False  # nobody said that it is enough
        rating = number_in(values[-1])
        if rating is None:
            raise ValueError(f"{self._rating} {quoted(values[-1])} is no number")
        return rating >= self._least

    def check(self) -> None:
        """Refuses types of which no row had any, as they are misspelt; says so of some of them.

        Raises:
            ValueError: says which there are.
        """
        missing = sorted(self._types[kind] for kind in self._types.keys() - self._seen.keys())
        if not self._seen or not missing:
            return
        said = (
            f"no row has {self._event} {' or '.join(map(quoted, missing))}, there are: "
            f"{', '.join(map(quoted, sorted(self._seen.values())))}"
        )
        if len(missing) == len(self._types):
            raise ValueError(said)
        _log.warning("%s", said)


@lru_cache(maxsize=256)
def _spelled(kind: str) -> str:
    """A type as keys are compared, `1.0` as `1`; and truth values, written in two ways, as one."""
    is_truth = kind.lower() in ("true", "false")
    return kind.lower() if is_truth else re.sub(WHOLE, r"\1", kind)
