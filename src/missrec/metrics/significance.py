"""Whether systems differ: a paired test over seeds and users, Holm's correction over several."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np

from missrec.metrics.components import Spread, spread
from missrec.metrics.power import detectable_difference

FEW_USERS = 200
"""Of fewer, intervals are rough."""

_BLOCK_VALUES = 2**22
_OWN_ERROR = 0.1
"""Of the error of all users in that of a draw: one that misses the few who differ has none."""


class PairedDifference(NamedTuple):
    """Mean over users of one system's metric minus the other's.

    Attributes:
        mean: the difference.
        low: lower end of its 95 % interval.
        high: upper end.
        p_value: two-sided, of no difference; None where a side that learns has one seed.
        num_users: users compared.
        detectable: the true difference that a test at .05 of as many seeds and users finds in 80 %
            of the cases; None as of `p_value`.
    """

    mean: float
    low: float
    high: float
    p_value: float | None
    num_users: int
    detectable: float | None

    @property
    def over_seeds(self) -> bool:
        """Whether the interval is over seeds and users, or over users alone."""
        return self.p_value is not None

    @property
    def has_few_users(self) -> bool:
        """Whether the interval is rough."""
        return self.num_users < FEW_USERS


class Pair(NamedTuple):
    """Two systems on the same users, as far as a comparison needs them.

    Attributes:
        found: what their means spread by.
        differences: (U, M) of each user and metric, seeds averaged.
    """

    found: Spread
    differences: np.ndarray


def paired_differences(
    ours: np.ndarray,
    theirs: np.ndarray,
    *,
    fixed: tuple[bool, bool] = (False, False),
    num_resamples: int,
    seed: int,
) -> list[PairedDifference]:
    """Intervals and p-values of the mean difference in several metrics, over seeds and users.

    A bootstrap of two levels: a draw takes as many users with replacement, studentised, which
    follows their skew, and moves the seeds by a t-distributed share of their spread, since
    drawing three of three shows too little of it (see `spread`). Where one seed of a system that
    learns is all there is, users alone are drawn, and there is no p-value: nothing says how far
    another seed would come.

    **Source**: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 12 and 16; how
    often the test errs between equal systems is measured in docs/statistics.md.

    Args:
        ours: (S, U, M) of each seed, user and metric, in 0..1.
        theirs: (S', U, M) of the same users in the same order.
        fixed: of each side, whether it learns nothing: its one seed is then all there are.
        num_resamples: draws; the smallest p-value is 2 / (num_resamples + 1).
        seed: of the draws.

    Returns:
        One for each metric.

    Raises:
        ValueError: there are no seeds or users, or the two are not of the same users and metrics.
    """
    pair = paired(ours, theirs, fixed=fixed)
    (found,) = differences_of([pair], num_resamples=num_resamples, seed=seed)
    return found


def paired(
    ours: np.ndarray, theirs: np.ndarray, *, fixed: tuple[bool, bool] = (False, False)
) -> Pair:
    """Two systems made ready for `differences_of`; see `paired_differences`, which raises alike."""
    if ours.ndim != 3 or ours.shape[1:] != theirs.shape[1:] or not ours.size or not theirs.size:
        raise ValueError(f"users of {ours.shape} and {theirs.shape} cannot be paired")
    differences = ours.mean(axis=0) - theirs.mean(axis=0)
    return Pair(spread(ours, theirs, fixed=fixed), differences)


def differences_of(
    pairs: Sequence[Pair], *, num_resamples: int, seed: int
) -> list[list[PairedDifference]]:
    """As `paired_differences`, bit for bit, of several pairs of as many users each.

    Which users a draw takes depends on their number and the seed alone, and is what takes time:
    the pairs share the draws.
    """
    rng = np.random.default_rng(seed)
    centred = [pair.differences - pair.differences.mean(axis=0) for pair in pairs]
    drawn = _studentised_means(centred, num_resamples=num_resamples, rng=rng)
    return [
        _differences(pair, users, num_resamples=num_resamples, rng=deepcopy(rng))
        for pair, users in zip(pairs, drawn, strict=True)
    ]


def _differences(
    pair: Pair, users: np.ndarray, *, num_resamples: int, rng: np.random.Generator
) -> list[PairedDifference]:
    found = pair.found
    results = []
    for metric, mean in enumerate(pair.differences.mean(axis=0)):
        drawn = mean - _shifts(found, metric, users[:, metric], rng)
        low, high = np.quantile(drawn.clip(-1, 1), [0.025, 0.975])  # as metrics in 0..1 can differ
        known = bool(np.isfinite(found.over_seeds[metric]))
        tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
        total, degrees = found.total[metric], found.total_degrees[metric]
        results.append(
            PairedDifference(
                mean=float(mean),
                low=float(low),
                high=float(high),
                p_value=min(1.0, 2 * (tail + 1) / (num_resamples + 1)) if known else None,
                num_users=found.num_users,
                detectable=detectable_difference(total, degrees) if known else None,
            )
        )
    return results


def _shifts(found: Spread, metric: int, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(num_resamples,) how far draws of seeds and users move the mean difference."""
    over_seeds = found.over_seeds[metric]
    known = np.isfinite(over_seeds)
    over_users = (found.of_users if known else found.over_users)[metric]
    shifts = np.sqrt(over_users) * users if over_users else np.zeros_like(users)
    if known and over_seeds:
        shifts += np.sqrt(over_seeds) * rng.standard_t(found.degrees[metric], size=len(users))
    return shifts


def _studentised_means(
    values: Sequence[np.ndarray], *, num_resamples: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """(num_resamples, M) means of users drawn with replacement, in their own standard errors.

    Args:
        values: (U, M) whose mean over users is 0, of each of several pairs.
        num_resamples: draws of U users, the same for all.
        rng: of the draws.
    """
    num_users = len(values[0])
    both = [np.concatenate([own, own**2], axis=1) for own in values]
    block = max(1, _BLOCK_VALUES // num_users)
    found: list[list[np.ndarray]] = [[] for _ in values]
    for start in range(0, num_resamples, block):
        size = min(block, num_resamples - start)
        drawn = rng.integers(num_users, size=(size, num_users), dtype=np.int32)
        drawn += num_users * np.arange(size, dtype=np.int32)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * num_users)
        weights = counts.reshape(size, num_users).astype(np.float64)
        for own, blocks in zip(both, found, strict=True):
            blocks.append(weights @ own / num_users)
    return [_studentised(np.concatenate(b), own) for b, own in zip(found, both, strict=True)]


def _studentised(drawn: np.ndarray, both: np.ndarray) -> np.ndarray:
    """(num_resamples, M) from the means of values and of their squares, (num_resamples, 2 M)."""
    num_users, num_metrics = len(both), both.shape[1] // 2
    means, squares = np.split(drawn, 2, axis=1)
    variances = np.maximum(squares - means**2, 0) + _OWN_ERROR * both[:, num_metrics:].mean(axis=0)
    errors = np.sqrt(variances / (1 + _OWN_ERROR) / max(1, num_users - 1))
    nothing = np.zeros_like(means)
    return np.asarray(np.divide(means, errors, out=nothing, where=errors > 0))


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
