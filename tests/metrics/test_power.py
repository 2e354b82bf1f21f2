from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from missrec.metrics.power import detectable_difference
from missrec.metrics.significance import paired_differences


def test_with_many_degrees_of_freedom_it_is_that_of_the_normal() -> None:
    found = detectable_difference(0.04, math.inf)
    assert found == pytest.approx(0.2 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)))
    assert detectable_difference(0.04, 999) == pytest.approx(found, rel=2e-3)
    assert detectable_difference(0.0, 4) == 0


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
def test_four_of_five_t_tests_find_it(num_seeds: int) -> None:
    deviation = 0.03
    found = detectable_difference(2 * deviation**2 / num_seeds, 2 * num_seeds - 2)
    rng = np.random.default_rng(num_seeds)
    ours, theirs = deviation * rng.standard_normal((2, 20_000, num_seeds))
    p_values = stats.ttest_ind(ours + found, theirs, axis=1).pvalue
    assert (p_values < 0.05).mean() == pytest.approx(0.8, abs=0.01)


def test_four_of_five_paired_tests_over_seeds_and_users_find_it() -> None:
    of_seed, of_users, num_seeds, num_users, number = 0.02, 0.1, 5, 60, 300
    parts = np.array([2 * of_seed**2 / num_seeds, of_users**2 / num_users])
    degrees = parts.sum() ** 2 / (parts**2 / [2 * num_seeds - 2, num_users - 1]).sum()
    found = detectable_difference(parts.sum(), degrees)
    rng = np.random.default_rng(0)
    p_values = []
    for index in range(number):
        ours, theirs = of_seed * rng.standard_normal((2, num_seeds, 1, 1))
        users = of_users * rng.standard_normal((1, num_users, 1))
        sides = (0.5 + found + users + ours, 0.5 + 0 * users + theirs)
        (compared,) = paired_differences(*sides, num_resamples=499, seed=index)
        p_values.append(compared.p_value)
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.8, abs=0.06)
