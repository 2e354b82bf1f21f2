"""Training ends at one moment for all users."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum

import numpy as np

from missrec.data.splits.splitter import Split, SplitError, first_of_users, train_targets

_PER_SECOND = (1, 10**3, 10**6, 10**9)
"""Units of time that data comes in: seconds, and milli-, micro- and nanoseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Boundary = float | int | str
"""A share, a time of the data, or an ISO date or time."""


class _Kind(Enum):
    SHARE = 1
    TIME = 2
    DATE = 3


class GlobalTime:
    """Everything before one moment is trained on; what came next is validated and tested on.

    A user's validation target is its first interaction between the two boundaries of its domain,
    the test target its first from the second boundary on; all that the user did before is the
    history. A user without interactions in a window, or without any before it, is left out of
    that part. So no model sees a user's future, nor other users' (Ji et al., "A Critical Study on
    Data Leakage in Recommender System Offline Evaluation", TOIS 2023).
    """

    needs_times = True

    def __init__(self, *, val_from: Boundary, test_from: Boundary) -> None:
        """Keeps the boundaries, which are both of one kind.

        A share says how much of a domain's interactions lie before it; an ISO date or time, UTC
        unless it names a zone, needs times that count from 1970, in a unit that shows in them;
        another number is a time as the data has it.

        Args:
            val_from: the first boundary.
            test_from: the second; later than the first.

        Raises:
            ValueError: they are not of one kind, or not in that order.
        """
        self._said = (val_from, test_from)
        (self._kind, first), (other_kind, second) = map(_read, self._said)
        if self._kind is None or self._kind != other_kind or not first < second:
            raise ValueError(
                f"val_from ({val_from}) and test_from ({test_from}) must be 0 < val_from < "
                "test_from < 1 as shares of the interactions, or two dates such as 2018-07-01, or "
                "two times of the data, the first one earlier"
            )
        self._bounds = (first, second)

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """Each domain has its own boundaries; see `Splitter`.

        Raises:
            SplitError: a boundary is not within the times of a domain, dates whatever their unit;
                or, shares aside, no user of a domain is left to validate or to test.
        """
        if times is None:
            raise ValueError("a split by time needs times")
        starts = offsets[:-1]
        in_training = np.empty(len(times), dtype=bool)
        targets: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        domains = list(zip(offsets[first_users[:-1]], offsets[first_users[1:]], strict=True))
        for first, last in domains:
            own = times[first:last]
            val_from, test_from = self._among(own)
            in_training[first:last] = own < val_from
            in_val = (own >= val_from) & (own < test_from)
            for part, inside in zip(targets, (in_val, own >= test_from), strict=True):
                part.append(np.flatnonzero(inside) + first)
        val, test = (first_of_users(np.concatenate(part), offsets) for part in targets)
        if self._kind is not _Kind.SHARE:
            for first, last in domains:
                parts = [(part >= first) & (part < last) for part in (val, test)]
                self._check_users(times[first:last], parts)
        # Times never fall within a user, so what comes before the boundary is a beginning.
        train_ends = starts + np.add.reduceat(in_training, starts, dtype=np.int64)
        return Split(train_targets(offsets, train_ends), val, test, train_ends)

    def _among(self, times: np.ndarray) -> tuple[float, float]:
        """The boundaries among the times of a domain."""
        if self._kind is _Kind.SHARE:
            # An interaction's time itself, so that equal times never lie on both sides.
            val_from, test_from = np.quantile(times, list(self._bounds), method="higher")
            return val_from, test_from
        first, last = int(times.min()), int(times.max())
        if self._kind is _Kind.TIME:
            self._check_within(self._bounds, first, last)
            return self._bounds
        for per_second in _PER_SECOND:
            val_from, test_from = (-(-bound * per_second // 10**6) for bound in self._bounds)
            if first < val_from <= last or first < test_from <= last:
                self._check_within((val_from, test_from), first, last)
                return val_from, test_from
        raise SplitError(
            f"the times of the interactions run from {first} to {last}: read as seconds or parts "
            f"of them since 1970, neither {self._said[0]} nor {self._said[1]} lies in between"
        )

    def _check_users(self, times: np.ndarray, of_domain: Sequence[np.ndarray]) -> None:
        val_from, test_from = self._said
        windows = (
            f"from val_from ({val_from}) up to test_from ({test_from})",
            f"from test_from ({test_from}) on",
        )
        for window, chosen in zip(windows, of_domain, strict=True):
            if not chosen.any():
                raise SplitError(
                    f"no user has an interaction {window} and one before: the times of the "
                    f"interactions run from {times.min()} to {times.max()}; a date is written as "
                    "2018-07-01"
                )

    def _check_within(self, bounds: tuple[float, float], first: int, last: int) -> None:
        for name, said, bound in zip(("val_from", "test_from"), self._said, bounds, strict=True):
            if not first < bound <= last:
                as_time = f", which is {bound}," if self._kind is _Kind.DATE else ""
                raise SplitError(
                    f"{name} ({said}){as_time} is not within the times of the interactions, which "
                    f"run from {first} to {last}; a date is written as 2018-07-01"
                )


def _read(bound: Boundary) -> tuple[_Kind | None, float]:
    """What a boundary is, and its value: of a date the microseconds since 1970."""
    if isinstance(bound, str):
        try:
            moment = datetime.fromisoformat(bound)
        except ValueError:
            return None, 0
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _Kind.DATE, (zoned - _EPOCH) // timedelta(microseconds=1)
    if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 < bound < math.inf:
        return None, 0
    return (_Kind.SHARE if bound < 1 else _Kind.TIME), bound
