"""What is asked for: histories by keys, cut into shards, and the keys that nobody knows."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from missrec.data.sources.keys import known_spelling
from missrec.files import write_text

NO_KNOWN_ITEM = "no known item"


class Requests(NamedTuple):
    """Some of those that something is asked for.

    Attributes:
        keys: (S,) of each, such as of a user.
        histories: (S,) item keys of each, oldest first.
    """

    keys: Sequence[str]
    histories: Sequence[Sequence[str]]


class KnownKeys:
    """Keys that there are, as they are spelled; `7.0` stands for `7`, and the other way round."""

    def __init__(self, keys: pl.Series) -> None:
        """Takes them, each once."""
        self._keys = keys
        self._known = set(keys)

    def spelled(self, keys: Iterable[str]) -> dict[str, str | None]:
        """Each of some keys -> as it is spelled here; None where it is unknown."""
        found: dict[str, str | None] = {key: key for key in keys}
        others = [key for key in found if key not in self._known]
        if others:
            spelled = known_spelling(pl.Series(others, dtype=pl.String), self._keys)
            found.update(
                (key, one if one in self._known else None)
                for key, one in zip(others, spelled, strict=True)
            )
        return found


class UnknownKeys:
    """Counts keys that are not used, by what they were to be."""

    def __init__(self) -> None:
        """Starts with none."""
        self._times: Counter[tuple[str, str]] = Counter()

    def note(self, what: str, key: str) -> None:
        """Takes note of one.

        Args:
            what: it was to be, such as `item`, or the name of a list.
            key: as it was written.
        """
        self._times[what, key] += 1

    def known_in(self, what: str, keys: Sequence[str], known: KnownKeys) -> list[str]:
        """The known ones of a list, as they are spelled; notes the others."""
        spelled = known.spelled(keys)
        found = []
        for key in keys:
            if (one := spelled[key]) is None:
                self.note(what, key)
            else:
                found.append(one)
        return found

    def summary(self) -> dict[str, tuple[int, str]]:
        """What -> how many different keys, and the first of them."""
        found: dict[str, tuple[int, str]] = {}
        for what, key in self._times:
            number, first = found.get(what, (0, key))
            found[what] = (number + 1, first)
        return found

    def write(self, path: Path) -> None:
        """Lists them in a CSV: what, key, times. Removes an older list where there are none."""
        if not self._times:
            path.unlink(missing_ok=True)
            return
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["what", "key", "times"])
        rows.writerows([*named, times] for named, times in self._times.items())
        write_text(path, text.getvalue())


class RequestCutter:
    """Cuts requests that come one by one into shards of fixed size, without their unknown items."""

    def __init__(
        self,
        write: Callable[[int, Requests], None],
        *,
        items: KnownKeys,
        unknown: UnknownKeys,
        what: str,
        shard_size: int,
        limit: int | None = None,
    ) -> None:
        """Starts with none.

        Args:
            write: gets the number of each shard and its requests.
            items: of the catalogue.
            unknown: takes note of items that are none of them, and of histories without any.
            what: the requests are, such as `user`.
            shard_size: requests a shard.
            limit: of the requests that are taken; None for all.

        Raises:
            ValueError: shard_size is below 1.
        """
        if shard_size < 1:
            raise ValueError(f"shard_size ({shard_size}) must be at least 1")
        self._write = write
        self._items = items
        self._unknown = unknown
        self._empty = f"{what} with {NO_KNOWN_ITEM}"
        self._shard_size = shard_size
        self._limit = limit
        self._keys: list[str] = []
        self._histories: list[Sequence[str]] = []
        self.num_requests = self.num_shards = 0

    def add(self, key: str, history: Sequence[str]) -> None:
        """Takes the next request."""
        if self._limit is not None and self.num_requests >= self._limit:
            return
        self._keys.append(key)
        self._histories.append(history)
        self.num_requests += 1
        if len(self._keys) == self._shard_size:
            self._cut()

    def finish(self) -> None:
        """Writes what is left; where nothing came, a shard without requests."""
        if self._keys or not self.num_shards:
            self._cut()

    def _cut(self) -> None:
        spelled = self._items.spelled(item for history in self._histories for item in history)
        known = []
        for key, history in zip(self._keys, self._histories, strict=True):
            own = [one for item in history if (one := spelled[item]) is not None]
            if len(own) < len(history):
                for item in history:
                    if spelled[item] is None:
                        self._unknown.note("item", item)
            if not own:
                self._unknown.note(self._empty, key)
            known.append(own)
        self._write(self.num_shards, Requests(self._keys, known))
        self.num_shards += 1
        self._keys, self._histories = [], []
