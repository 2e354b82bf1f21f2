"""How far a difference between two systems would move with other seeds, and with other users."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """Variances of the difference of two systems' means, of several metrics at once.

    Attributes:
        over_users: (M,) with other users and the seeds as they are; holds `of_noise`.
        over_seeds: (M,) with other seeds; holds `of_noise`. NaN where a side has one seed.
        of_noise: (M,) of what is of one seed at one user alone, and so in both.
        degrees: (M,) of freedom of `over_seeds`; infinite where no seed makes a difference.
        num_users: U.
    """

    over_users: np.ndarray
    over_seeds: np.ndarray
    of_noise: np.ndarray
    degrees: np.ndarray
    num_users: int

    @property
    def of_users(self) -> np.ndarray:
        """(M,) what `over_users` has beyond the noise: users who favour one of the systems."""
        return np.asarray(np.maximum(self.over_users - self.of_noise, 0))

    @property
    def total(self) -> np.ndarray:
        """(M,) with other seeds and other users; the noise counts once."""
        return np.asarray(self.over_seeds + self.of_users)

    @property
    def total_degrees(self) -> np.ndarray:
        """(M,) degrees of freedom of `total`, as Satterthwaite has them."""
        seeds = self.over_seeds**2 / self.degrees
        users = self.of_users**2 / max(1, self.num_users - 1)
        found = np.full_like(seeds, np.inf)
        return np.asarray(
            np.divide(self.total**2, seeds + users, out=found, where=seeds + users > 0)
        )


def spread(ours: np.ndarray, theirs: np.ndarray, *, fixed: tuple[bool, bool]) -> Spread:
    """The variances of the difference between two systems on the same users.

    A seed moves the metric of all users together, which drawing users cannot see: seeds are as
    much of a sample as users are. The variance over seeds is that of their means, unbiased, so
    that three seeds show the whole of their spread; drawn with replacement they would show two
    thirds of it.

    **Source**: two-way clustering as Cameron, Gelbach & Miller, Robust Inference With Multiway
    Clustering, 2011; degrees of freedom as Satterthwaite, An Approximate Distribution of Estimates
    of Variance Components, 1946, with unbiased estimates of what it takes as known.

    Args:
        ours: (S, U, M) of each seed, user and metric.
        theirs: (S', U, M) of the other system.
        fixed: of each side, whether it learns nothing, so that all its seeds are one.
    """
    num_users = ours.shape[1]
    difference = ours.mean(axis=0) - theirs.mean(axis=0)
    sides = [_of_seeds(*side) for side in zip((ours, theirs), fixed, strict=True)]
    over_seeds = np.sum([side.over_seeds for side in sides], axis=0)
    # The squares of variances without their bias: of three seeds a side Welch's would be too few.
    squares = np.sum([side.over_seeds**2 / (side.degrees + 2) for side in sides], axis=0)
    most = sum(side.degrees for side in sides if side.degrees < np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.where(squares > 0, np.minimum(over_seeds**2 / squares - 2, most), np.inf)
    return Spread(
        over_users=_variance(difference) / num_users,
        over_seeds=over_seeds,
        of_noise=np.sum([side.of_noise for side in sides], axis=0),
        degrees=degrees,
        num_users=num_users,
    )


class _Side(NamedTuple):
    """Variances of the mean of one system, and the degrees of freedom of `over_seeds`."""

    over_seeds: np.ndarray
    of_noise: np.ndarray
    degrees: float


def _of_seeds(values: np.ndarray, is_fixed: bool) -> _Side:
    num_seeds, num_users, num_metrics = values.shape
    nothing = np.zeros(num_metrics)
    if is_fixed:
        return _Side(nothing, nothing, np.inf)
    if num_seeds == 1:
        return _Side(nothing + np.nan, nothing, np.nan)
    by_seed, by_user = values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_user[None] + by_user.mean(axis=0)
    squares = (rest**2).sum(axis=(0, 1))
    of_noise = squares / ((num_seeds - 1) * max(1, num_users - 1)) / (num_seeds * num_users)
    over_seeds = _variance(by_seed) / num_seeds
    # Among few users seeds may come out equal by chance.
    return _Side(np.where(over_seeds > 0, over_seeds, of_noise), of_noise, num_seeds - 1)


def _variance(values: np.ndarray) -> np.ndarray:
    """Unbiased, over the first axis; 0 of a single value."""
    return np.asarray(np.var(values, axis=0, ddof=min(1, len(values) - 1)))
