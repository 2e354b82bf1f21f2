"""What a split is, and what a way to split implements."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import polars as pl


class Split(NamedTuple):
    """Positions, in the flat item array, of the targets of each part.

    A target at position p of a user has the user's items before p as history.

    Attributes:
        train: (S,) int32 where that holds every position, else int64, ascending; one per training
            sample.
        val: (V,) int64, ascending, at most one per user.
        test: (T,) int64, ascending, at most one per user.
        train_ends: (U,) int64; training may see the interactions of user u before this position,
            as targets or in histories, and no others.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    train_ends: np.ndarray


class Keys(NamedTuple):
    """The external ids of one domain or several, which do not depend on the numbering.

    Attributes:
        users: (U,) strings, in the order of the offsets.
        items: (N,) strings, of item 1..N.
        item_ids: (number of interactions,) item ids in 1..N.
    """

    users: pl.Series
    items: pl.Series
    item_ids: np.ndarray


class Splitter(Protocol):
    """A way to split; another one implements this and gets a YAML in `conf/split/`."""

    needs_times: bool

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """The split of one domain or several.

        Args:
            offsets: (U + 1,) int64; user u owns positions offsets[u]..offsets[u + 1] - 1, at
                least 3.
            times: (number of interactions,) int64; never None where `needs_times`.
            first_users: (number of domains + 1,) the first user of each domain, then U.
        """


@runtime_checkable
class KeyedSplitter(Protocol):
    """A way to split that goes by who the users are, or by what they took."""

    needs_times: bool

    def with_keys(self, keys: Keys) -> Splitter:
        """What splits the interactions that have these keys."""


AnySplitter = Splitter | KeyedSplitter


class SplitError(ValueError):
    """The interactions of a domain cannot be split in this way."""


def with_keys(splitter: AnySplitter, keys: Callable[[], Keys]) -> Splitter:
    """A splitter of interactions whose keys are read only if it goes by them."""
    return splitter.with_keys(keys()) if isinstance(splitter, KeyedSplitter) else splitter


def seen_in_training(offsets: np.ndarray, train_ends: np.ndarray) -> np.ndarray:
    """(number of interactions,) bool, True where training may see the interaction."""
    # +1 where a user starts, -1 where its training ends; the sums are 1 in between.
    changes = np.zeros(int(offsets[-1]) + 1, dtype=np.int8)
    changes[offsets[:-1]] = 1
    np.subtract.at(changes, train_ends, np.int8(1))
    np.cumsum(changes, out=changes)
    return changes[:-1].view(bool)


def train_targets(offsets: np.ndarray, train_ends: np.ndarray) -> np.ndarray:
    """Positions seen in training but for the first of each user."""
    is_target = seen_in_training(offsets, train_ends)
    is_target[offsets[:-1]] = False
    # Half the memory as long as int32 holds every position.
    fits = len(is_target) <= np.iinfo(np.int32).max
    positions = np.arange(len(is_target), dtype=np.int32 if fits else np.int64)
    return np.asarray(positions[is_target])


def first_of_users(positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The first of these ascending positions of each user, where the user has a history there."""
    users = np.searchsorted(offsets, positions, side="right") - 1
    is_first = np.diff(users, prepend=-1) > 0
    chosen: np.ndarray = positions[is_first & (positions > offsets[users])]
    return chosen


def check_shares(*, val: float, test: float) -> None:
    """Refuses shares to hold out that leave nothing to train on.

    Raises:
        ValueError: one of them is no number above 0, or their sum is not below 1.
    """
    are_numbers = all(
        isinstance(share, int | float) and not isinstance(share, bool) for share in (val, test)
    )
    if not are_numbers or not (val > 0 and test > 0 and val + test < 1):
        raise ValueError(
            f"val ({val}) and test ({test}) must be shares above 0 whose sum is below 1, such as "
            "0.1 and 0.1"
        )
