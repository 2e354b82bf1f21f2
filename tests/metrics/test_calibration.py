"""A/A by simulation: how often equal systems are told apart. On runs: bench/calibrate.py."""

from __future__ import annotations

import numpy as np
import pytest

from missrec.metrics.significance import PairedDifference, paired_differences

NUMBER = 500


def seeds_of_a_system(
    rng: np.random.Generator, logits: np.ndarray, *, num_seeds: int, over_seeds: float
) -> np.ndarray:
    """(S, U, 2) hits and gains; a seed moves the logits of all users together."""
    moved = logits + over_seeds * rng.standard_normal((num_seeds, 1))
    hit = rng.random(moved.shape) < 1 / (1 + np.exp(-moved))
    gain = 1 / np.log2(rng.integers(2, 12, size=moved.shape))
    return np.stack([hit, hit * gain], axis=2)


def compared(
    *, num_seeds: int, num_users: int, over_seeds: float, favour: float
) -> list[list[PairedDifference]]:
    """Pairs of systems as good as each other, with users who favour one of the two."""
    rng = np.random.default_rng(0)
    results = []
    for index in range(NUMBER):
        logits = -2 + 1.5 * rng.standard_normal(num_users)
        apart = favour * rng.standard_normal(num_users) / 2
        sides = [
            seeds_of_a_system(rng, own, num_seeds=num_seeds, over_seeds=over_seeds)
            for own in (logits + apart, logits - apart)
        ]
        results.append(paired_differences(*sides, num_resamples=499, seed=index))
    return results


@pytest.mark.parametrize(
    ("num_seeds", "over_seeds", "favour"), [(3, 0.0, 0.5), (3, 0.4, 0.0), (5, 0.2, 1.0)]
)
def test_equal_systems_differ_as_often_as_the_level_says(
    num_seeds: int, over_seeds: float, favour: float
) -> None:
    found = compared(num_seeds=num_seeds, num_users=80, over_seeds=over_seeds, favour=favour)
    p_values = np.array([[one.p_value for one in both] for both in found], dtype=np.float64)
    for share in (p_values < 0.05).mean(axis=0):
        assert 0.02 < share < 0.075  # of 500, that of .03 to .05 comes out here
    assert ((p_values < 0.01).mean(axis=0) < 0.025).all()


@pytest.mark.parametrize("num_users", [30, 120])
def test_of_one_seed_the_interval_covers_what_other_users_show(num_users: int) -> None:
    rng = np.random.default_rng(1)
    logits = -1 + 1.5 * rng.standard_normal(100_000)
    ours, theirs = (1 / (1 + np.exp(-(logits + shift))) for shift in (0.5, 0.0))
    truth = float((ours - theirs).mean())
    covered = []
    for index in range(NUMBER):
        users = rng.integers(len(logits), size=num_users)
        sides = [
            (rng.random(num_users) < own[users])[None, :, None] * 1.0 for own in (ours, theirs)
        ]
        (found,) = paired_differences(*sides, num_resamples=499, seed=index)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.025)
