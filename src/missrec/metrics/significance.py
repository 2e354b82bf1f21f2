"""Whether systems differ: paired bootstrap over users, Holm's correction over several tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_BLOCK_VALUES = 2**22
_USERS_A_COUNT = 10
"""Drawing how often one difference comes takes as long as drawing this many users."""


class PairedDifference(NamedTuple):
    """Mean over users of one system's metric minus the other's.

    Attributes:
        mean: the difference.
        low: lower end of its 95 % interval.
        high: upper end.
        p_value: two-sided, of no difference.
        num_users: users compared.
    """

    mean: float
    low: float
    high: float
    p_value: float
    num_users: int


def paired_bootstrap(
    ours: np.ndarray, theirs: np.ndarray, *, num_resamples: int, seed: int
) -> PairedDifference:
    """Percentile interval and p-value of the mean difference, users drawn with replacement.

    **Source**: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16.

    Users are what is drawn: average the seeds of a system first. The interval then says how far
    the result depends on the users of the test, not on the seeds.

    Args:
        ours: (U,) metric of each user.
        theirs: (U,) of the same users in the same order.
        num_resamples: draws of U users; the smallest p-value is 2 / (num_resamples + 1).
        seed: of the draws.

    Raises:
        ValueError: there are no users, or the two are not of the same users.
    """
    if ours.shape != theirs.shape or ours.ndim != 1 or not len(ours):
        raise ValueError(f"users of {ours.shape} and {theirs.shape} cannot be paired")
    means = _resampled_means(ours - theirs, num_resamples=num_resamples, seed=seed)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return PairedDifference(
        mean=float((ours - theirs).mean()),
        low=float(low),
        high=float(high),
        p_value=min(1.0, 2 * (tail + 1) / (num_resamples + 1)),
        num_users=len(ours),
    )


def _resampled_means(values: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """(num_resamples,) means of as many values, drawn with replacement."""
    # Users with one difference are interchangeable: drawing users is drawing how many of each
    # distinct difference come, which pays where there are far fewer of those than users.
    distinct, counts = np.unique(values, return_counts=True)
    rng = np.random.default_rng(seed)
    few = len(distinct) * _USERS_A_COUNT < len(values)
    block = max(1, _BLOCK_VALUES // len(distinct if few else values))
    sums = []
    for start in range(0, num_resamples, block):
        size = min(block, num_resamples - start)
        if few:
            sums.append(rng.multinomial(len(values), counts / len(values), size=size) @ distinct)
        else:
            drawn = rng.integers(len(values), size=(size, len(values)), dtype=np.int32)
            sums.append(values[drawn].sum(axis=1))
    return np.concatenate(sums) / len(values)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: those below a level keep the chance of any false one below that level.

    The i-th smallest of m is multiplied by m + 1 - i; none is smaller than the one before it, none
    above 1.

    **Source**: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    Args:
        p_values: of the tests of one family, dependent or not.

    Returns:
        One for each, in the given order.

    Raises:
        ValueError: a value lies outside 0..1.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():  # NaN is neither
        raise ValueError(f"p_values ({list(p_values)}) must lie in 0..1")
    order = values.argsort(kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * factors))
    return [float(value) for value in adjusted]
