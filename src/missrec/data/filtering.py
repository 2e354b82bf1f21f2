"""From events as read to a domain: which are kept, their order, and the ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from missrec.data.domain import MIN_INTERACTIONS, PreparedDomain, Step


class _Kept(NamedTuple):
    """Events by codes, the positions of the keys in sorted order.

    Attributes:
        users: (n,) ascending.
        items: (n,)
        times: (n,) int64, ascending within a user.
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
        self._same = ["user", "item", "time"] if keep_repeats else ["user", "item"]
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
    ) -> PreparedDomain:
        """The domain that is left of the events.

        Args:
            name: of the domain.
            events: `user_key`, `item_key`, `time`, in the order of the file.
            items: `item_key`, `text`, `image_urls`; each key once.
            timed: whether `time` is a time, not only an order.
            num_rows: rows that were read for `events`, bad ones too.
            settings: of the reader, for the manifest.
            published: see `PreparedDomain`.

        Raises:
            ValueError: nothing is left.
        """
        steps = [Step("rows read", num_rows, None, None), _count("readable", events)]
        events = events.join(items.select("item_key"), on="item_key", how="semi")
        steps.append(_count("of items with metadata", events))
        user_keys = events["user_key"].unique().sort()
        items = items.sort("item_key")
        kept = _encode(events, user_keys, items["item_key"], same=self._same)
        del events  # strings: the largest part of the memory
        steps.append(kept.step("without repeats"))
        kept = kept.at(
            k_core(kept.users, kept.items, min_user=self._min_user, min_item=self._min_item)
        )
        steps.append(kept.step(f"users with {self._min_user}, items with {self._min_item}"))
        if not len(kept.users):
            left = ", ".join(f"{step.name}: {step.num_interactions}" for step in steps)
            raise ValueError(f"{name}: no interaction is left ({left})")
        users, offsets = _renumber_users(kept.users)
        catalogue, item_ids = _renumber_items(
            kept.items, num_items=len(items), keep_unseen=self._keep_unseen
        )
        items = items[catalogue]
        return PreparedDomain(
            name=name,
            items=item_ids,
            offsets=offsets,
            times=kept.times if timed else None,
            user_keys=user_keys[users].to_list(),
            item_keys=items["item_key"].to_list(),
            item_texts=items["text"].to_list(),
            image_urls=items["image_urls"].to_list(),
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


def _count(name: str, events: pl.DataFrame) -> Step:
    return Step(name, len(events), events["user_key"].n_unique(), events["item_key"].n_unique())


def _encode(
    events: pl.DataFrame, user_keys: pl.Series, item_keys: pl.Series, *, same: Sequence[str]
) -> _Kept:
    """Codes instead of keys, by user and time; of rows that agree in `same` the first."""
    coded = (
        events.select(
            user=pl.col("user_key").cast(pl.Enum(user_keys)).to_physical(),
            item=pl.col("item_key").cast(pl.Enum(item_keys)).to_physical(),
            time="time",
        )
        .sort("user", "time", maintain_order=True)
        .unique(same, keep="first", maintain_order=True)
    )
    return _Kept(*(coded[column].to_numpy() for column in ("user", "item", "time")))


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
