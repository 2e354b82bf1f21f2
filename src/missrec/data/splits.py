"""Which positions of the sequences are trained on, validated on and tested on."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


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


class SplitError(ValueError):
    """The interactions of a domain cannot be split in this way."""


class LeaveOneOut:
    """The last item of each user is the test target, the last but one the validation target.

    Training targets are all items before those, except the first, which has no history: every
    prefix is a sample. The validation item is part of the test history (MISSRec 4.2.1, as
    UniSRec).
    """

    needs_times = False

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """Every user is in validation and test; see `Splitter`."""
        ends = offsets[1:]
        held_out = ends - 2
        return Split(_train_targets(offsets, held_out), held_out, ends - 1, held_out)


class GlobalTime:
    """Everything before one moment is trained on; what came next is validated and tested on.

    A user's validation target is its first interaction between the two boundaries of its domain,
    the test target its first from the second boundary on; all that the user did before is the
    history. A user without interactions in a window, or without any before it, is left out of
    that part. So no model sees a user's future, nor other users' (Ji et al., "A Critical Study on
    Data Leakage in Recommender System Offline Evaluation", TOIS 2023).
    """

    needs_times = True

    def __init__(self, *, val_from: float, test_from: float) -> None:
        """Keeps the boundaries.

        Args:
            val_from: share of a domain's interactions that lie before the first boundary.
            test_from: share of them before the second; 0 < val_from < test_from < 1.

        Raises:
            ValueError: the shares are not in that order.
        """
        if not 0 < val_from < test_from < 1:
            raise ValueError(
                f"val_from ({val_from}) and test_from ({test_from}) must be 0 < val_from < "
                "test_from < 1"
            )
        self._shares = (val_from, test_from)

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """Each domain has its own boundaries; see `Splitter`."""
        if times is None:
            raise ValueError("a split by time needs times")
        starts = offsets[:-1]
        in_training = np.empty(len(times), dtype=bool)
        targets: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for first, last in zip(offsets[first_users[:-1]], offsets[first_users[1:]], strict=True):
            own = times[first:last]
            # An interaction's time itself, so that equal times never lie on both sides.
            val_from, test_from = np.quantile(own, self._shares, method="higher")
            in_training[first:last] = own < val_from
            in_val = (own >= val_from) & (own < test_from)
            for part, inside in zip(targets, (in_val, own >= test_from), strict=True):
                part.append(np.flatnonzero(inside) + first)
        val, test = (_first_of_users(np.concatenate(part), offsets) for part in targets)
        # Times never fall within a user, so what comes before the boundary is a beginning.
        train_ends = starts + np.add.reduceat(in_training, starts, dtype=np.int64)
        return Split(_train_targets(offsets, train_ends), val, test, train_ends)


def seen_in_training(offsets: np.ndarray, train_ends: np.ndarray) -> np.ndarray:
    """(number of interactions,) bool, True where training may see the interaction."""
    # +1 where a user starts, -1 where its training ends; the sums are 1 in between.
    changes = np.zeros(int(offsets[-1]) + 1, dtype=np.int8)
    changes[offsets[:-1]] = 1
    np.subtract.at(changes, train_ends, np.int8(1))
    np.cumsum(changes, out=changes)
    return changes[:-1].view(bool)


def _train_targets(offsets: np.ndarray, train_ends: np.ndarray) -> np.ndarray:
    """Positions seen in training but for the first of each user."""
    is_target = seen_in_training(offsets, train_ends)
    is_target[offsets[:-1]] = False
    # Half the memory as long as int32 holds every position.
    fits = len(is_target) <= np.iinfo(np.int32).max
    positions = np.arange(len(is_target), dtype=np.int32 if fits else np.int64)
    return np.asarray(positions[is_target])


def _first_of_users(positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The first of these ascending positions of each user, where the user has a history there."""
    users = np.searchsorted(offsets, positions, side="right") - 1
    is_first = np.diff(users, prepend=-1) > 0
    chosen: np.ndarray = positions[is_first & (positions > offsets[users])]
    return chosen
