"""From events as read to a domain: which are kept, their order, and the ids."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from missrec.data.domain import MIN_INTERACTIONS, PreparedDomain, Step
from missrec.data.sources.keys import known_spelling, one_spelling
from missrec.data.sources.settings import a_number

_SHOWN_KEYS = 2
_log = logging.getLogger(__name__)


class _Kept(NamedTuple):
    """Events by codes, the places of the keys in sorted order.

    Attributes:
        users: (n,) int32.
        items: (n,) int32; -1 = has no metadata.
        times: (n,) int64.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray

    def at(self, chosen: np.ndarray) -> _Kept:
        """Those that an index or a mask names."""
        return _Kept(self.users[chosen], self.items[chosen], self.times[chosen])

    def step(self, name: str) -> Step:
        """What is left here."""
        num_users, num_items = (np.count_nonzero(np.bincount(codes)) for codes in self[:2])
        return Step(name, len(self.users), int(num_users), int(num_items))


class InteractionFilter:
    """Items known, repeats once, k-core to a fixed point, by time; ids in the order of the keys.

    What comes out depends on the rows, not on their order, except where the times of one user are
    equal: there the order of the file decides.
    """

    def __init__(
        self,
        *,
        keep_repeats: bool,
        min_user_interactions: int,
        min_item_interactions: int,
        keep_unseen_items: bool,
    ) -> None:
        """Keeps the settings.

        Args:
            keep_repeats: False keeps an item once per user, at its first time; True only makes one
                of several rows with the same user, item and time.
            min_user_interactions: of a user that stays, at least 3.
            min_item_interactions: of an item that stays.
            keep_unseen_items: whether items that nobody took stay in the catalogue.

        Raises:
            ValueError: a minimum is too small.
        """
        a_number("min_user_interactions", min_user_interactions)
        a_number("min_item_interactions", min_item_interactions)
        if min_user_interactions < MIN_INTERACTIONS:
            raise ValueError(
                f"min_user_interactions ({min_user_interactions}) must be at least "
                f"{MIN_INTERACTIONS}: to train, validate and test"
            )
        if min_item_interactions < 1:
            raise ValueError(f"min_item_interactions ({min_item_interactions}) must be at least 1")
        self.settings = {
            "keep_repeats": keep_repeats,
            "min_user_interactions": min_user_interactions,
            "min_item_interactions": min_item_interactions,
            "keep_unseen_items": keep_unseen_items,
        }
        self._keep_repeats = keep_repeats
        self._min_user, self._min_item = min_user_interactions, min_item_interactions
        self._keep_unseen = keep_unseen_items

    def domain(
        self,
        *,
        name: str,
        events: pl.DataFrame,
        items: pl.DataFrame,
        timed: bool,
        num_rows: int,
        settings: Mapping[str, Any],
        published: Mapping[str, int],
        moments: np.ndarray | None = None,
        num_left_out: int = 0,
    ) -> PreparedDomain:
        """The domain that is left of the events.

        Args:
            name: of the domain.
            events: `user_key`, `item_key` and `time`, see `EVENTS`, in the order of the file.
            items: `item_key`, `text`, `image_urls`; each key once.
            timed: whether `time` is a time, not only an order.
            num_rows: rows that were read for `events`, bad ones too.
            settings: of the reader, for the manifest.
            published: see `PreparedDomain`.
            moments: (number of distinct times,) int64, what is stored of the times, where `time`
                holds places among these.
            num_left_out: rows that could be read and are not among `events`.

        Raises:
            ValueError: nothing is left.
        """
        known = items["item_key"].sort()
        users = _spellings(events["user_key"], one_spelling)
        taken = _spellings(events["item_key"], lambda keys: known_spelling(keys, known))
        user_keys = users["key"].unique().sort()
        read = len(events), len(user_keys), taken["key"].n_unique()
        steps = [Step("rows read", num_rows, None, None)]
        if num_left_out:
            steps.append(Step("readable", len(events) + num_left_out, None, None))
        steps.append(Step("chosen" if num_left_out else "readable", *read))
        kept = _Kept(
            _codes(events["user_key"], users, user_keys),
            _codes(events["item_key"], taken, known),
            events["time"].to_numpy(),
        )
        _say_unknown(name, kept.items, taken["key"], known)
        del users, taken  # a million strings
        kept = kept.at(kept.items >= 0)
        steps.append(kept.step("of items with metadata"))
        kept = kept.at(np.lexsort((kept.times, kept.users)))  # stable: equal times as in the file
        kept = kept.at(_first_of_each(kept, keep_repeats=self._keep_repeats))
        steps.append(kept.step("without repeats"))
        kept = kept.at(
            k_core(kept.users, kept.items, min_user=self._min_user, min_item=self._min_item)
        )
        steps.append(kept.step(f"users with {self._min_user}, items with {self._min_item}"))
        if not len(kept.users):
            left = ", ".join(f"{step.name}: {step.num_interactions}" for step in steps)
            raise ValueError(f"{name}: no interaction is left ({left}); {_lost(steps)}")
        present, offsets = _renumber_users(kept.users)
        catalogue, item_ids = _renumber_items(
            kept.items, num_items=len(known), keep_unseen=self._keep_unseen
        )
        items = items.sort("item_key")[catalogue]
        return PreparedDomain(
            name=name,
            items=item_ids,
            offsets=offsets,
            times=_moments(kept, moments) if timed else None,
            user_keys=user_keys[present].to_list(),
            item_keys=items["item_key"].to_list(),
            item_texts=items["text"].to_list(),
            image_urls=items["image_urls"],
            features={},
            settings={**settings, "filter": self.settings},
            steps=steps,
            published=published,
        )


def k_core(users: np.ndarray, items: np.ndarray, *, min_user: int, min_item: int) -> np.ndarray:
    """Positions of the events in the largest set where all users and items have the minimum.

    Args:
        users: (n,) codes.
        items: (n,) codes.
        min_user: events of each user, at least.
        min_item: events of each item, at least.
    """
    kept = np.arange(len(users))
    while True:
        own_users, own_items = users[kept], items[kept]
        enough = (np.bincount(own_users) >= min_user)[own_users]
        enough &= (np.bincount(own_items) >= min_item)[own_items]
        if enough.all():
            return kept
        kept = kept[enough]


def _lost(steps: Sequence[Step]) -> str:
    """What to look at where a step has taken the last interaction."""
    step = next(step.name for step in steps if not step.num_interactions)
    return {
        "rows read": "the files have no rows",
        "chosen": "none is what is to be kept by event, rating, since or until",
        "of items with metadata": "no item taken is among the items: do the two columns hold the "
        "same keys?",
    }.get(step, "ask for fewer of a user and of an item in interaction_filter")


def _spellings(column: pl.Series, spell: Callable[[pl.Series], pl.Series]) -> pl.DataFrame:
    """The distinct values of a categorical column: their `code`, and the `key` that they mean."""
    distinct = column.unique()
    return pl.DataFrame({"code": distinct.to_physical(), "key": spell(distinct.cast(pl.String))})


def _codes(column: pl.Series, spellings: pl.DataFrame, keys: pl.Series) -> np.ndarray:
    """(n,) int32, the place in `keys` of each value of a categorical column; -1 = is not there."""
    places = pl.DataFrame({"key": keys}).with_row_index("place")
    found = spellings.join(places, on="key", how="left", maintain_order="left")
    codes = spellings["code"].to_numpy()
    place_of_code = np.full(int(codes.max(initial=0)) + 1, -1, dtype=np.int32)
    place_of_code[codes] = found["place"].cast(pl.Int32).fill_null(-1).to_numpy()
    return np.asarray(place_of_code[column.to_physical().to_numpy()])


def _say_unknown(name: str, items: np.ndarray, taken: pl.Series, known: pl.Series) -> None:
    """Says for how many events the item is unknown, with keys of both sides to compare.

    Args:
        name: of the domain.
        items: (n,) places in `known`, -1 = is not there.
        taken: keys that occur in events.
        known: keys of the items.
    """
    num_unknown = int(np.count_nonzero(items < 0))
    told = ""
    if num_unknown:
        unknown = taken.filter(~taken.is_in(known.implode()))
        examples = (", ".join(map(repr, keys.head(_SHOWN_KEYS))) for keys in (unknown, known))
        told = ": such as {}, where the items are such as {}".format(*examples)
    _log.log(
        logging.WARNING if num_unknown else logging.INFO,
        "%s: %.1f %% of the interactions (%s of %s) are of unknown items%s",
        name,
        100 * num_unknown / max(1, len(items)),
        f"{num_unknown:,}",
        f"{len(items):,}",
        told,
    )


def _moments(kept: _Kept, moments: np.ndarray | None) -> np.ndarray:
    """(n,) int64 times of events in order; says where rounding left no order between them."""
    if moments is None:
        return kept.times
    times = moments[kept.times]
    was_in_order = (np.diff(kept.users) == 0) & (np.diff(kept.times) != 0)
    if num_ties := int(np.count_nonzero(was_in_order & (np.diff(times) == 0))):
        _log.warning(
            "%s steps from one interaction to the next take less than what is stored of times: "
            "their order is right, their times are equal; of dates microseconds are stored, of "
            "numbers a larger time_scale keeps more",
            f"{num_ties:,}",
        )
    return np.asarray(times)


def _first_of_each(kept: _Kept, *, keep_repeats: bool) -> np.ndarray:
    """Positions of the first event of each user and item; or of each user, time and item.

    Args:
        kept: by user and time.
        keep_repeats: whether another time makes another event.
    """
    group = kept.users.astype(np.int64)
    if keep_repeats:
        changes = (np.diff(kept.users) != 0) | (np.diff(kept.times) != 0)
        group[1:] = np.cumsum(changes)
        group[:1] = 0
    pairs = group * (int(kept.items.max(initial=0)) + 1) + kept.items
    return np.sort(np.unique(pairs, return_index=True)[1])


def _renumber_users(users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The codes that occur, and the offsets of their events."""
    counts = np.bincount(users)
    present = np.flatnonzero(counts)
    return present, np.concatenate([[0], np.cumsum(counts[present])])


def _renumber_items(
    items: np.ndarray, *, num_items: int, keep_unseen: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The codes that stay in the catalogue, and the int32 ids, from 1, of the events' items."""
    stays = np.full(num_items, keep_unseen)
    stays[items] = True
    ids = np.cumsum(stays, dtype=np.int32)
    return np.flatnonzero(stays), ids[items]
