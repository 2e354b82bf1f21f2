"""Some users are trained on, others validated and tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl

from missrec.data.splits.splitter import Keys, Split, check_shares, train_targets


class ByUsers:
    """Training sees all of some users and nothing of the others, whose last item is the target.

    All that a held-out user did before is the history, so this measures how well a model does for
    users that it has never seen (strong generalisation: Marlin, "Collaborative Filtering: A
    Machine Learning Perspective", 2004; Liang et al., WWW 2018). Who is held out depends on the
    keys of the users and the seed alone: not on how they are numbered.
    """

    needs_times = False

    def __init__(self, *, val: float, test: float, seed: int) -> None:
        """Keeps the shares.

        Args:
            val: share of each domain's users to validate on, rounded, at least one.
            test: share of them to test on, likewise; val > 0, test > 0, val + test < 1.
            seed: of the choice.

        Raises:
            ValueError: the shares are out of range.
        """
        check_shares(val=val, test=test)
        self._val, self._test, self._seed = val, test, seed

    def with_keys(self, keys: Keys) -> _HeldOutUsers:
        """What splits the interactions of these users."""
        return _HeldOutUsers(places_of(keys.users, self._seed), val=self._val, test=self._test)


class _HeldOutUsers:
    needs_times = False

    def __init__(self, places: np.ndarray, *, val: float, test: float) -> None:
        """Takes a number for each user; those with the lowest are tested, the next validated."""
        self._places = places
        self._val, self._test = val, test

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """Each domain has its share of held-out users, tiny ones nobody else; see `Splitter`."""
        tested, validated = [], []
        for order in in_order(self._places, first_users):
            num_test, num_val = (max(1, round(len(order) * s)) for s in (self._test, self._val))
            tested.append(order[:num_test])
            validated.append(order[num_test : num_test + num_val])
        val, test = (np.sort(np.concatenate(users)) for users in (validated, tested))
        train_ends = offsets[1:].copy()
        for users in (val, test):
            train_ends[users] = offsets[users]
        ends = offsets[1:] - 1
        return Split(train_targets(offsets, train_ends), ends[val], ends[test], train_ends)


def places_of(keys: pl.Series, seed: int) -> np.ndarray:
    """(U,) uint64, as good as random, the same for the same key and seed everywhere."""
    digests = (hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(b"".join(digests), dtype="<u8")


def in_order(places: np.ndarray, first_users: np.ndarray) -> Iterator[np.ndarray]:
    """The users of each domain, those with the lowest numbers (U,) first."""
    for first, last in pairwise(first_users.tolist()):
        yield np.argsort(places[first:last], kind="stable") + first
