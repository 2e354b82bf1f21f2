"""Whether two systems differ: paired bootstrap over users."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BLOCK_VALUES = 2**24


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
    # Users with one difference are interchangeable: drawing users is drawing how many of each
    # distinct difference come, and there are far fewer of those than users.
    differences, counts = np.unique(ours - theirs, return_counts=True)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_VALUES // len(differences))
    means = np.concatenate(
        [
            rng.multinomial(len(ours), counts / len(ours), size=min(block, num_resamples - start))
            @ differences
            for start in range(0, num_resamples, block)
        ]
    ) / len(ours)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return PairedDifference(
        mean=float((ours - theirs).mean()),
        low=float(low),
        high=float(high),
        p_value=min(1.0, 2 * (tail + 1) / (num_resamples + 1)),
        num_users=len(ours),
    )
