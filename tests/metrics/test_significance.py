from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from missrec.metrics.significance import (
    PairedDifference,
    differences_of,
    holm,
    paired,
    paired_differences,
)


def of_users(*seeds: Sequence[float] | np.ndarray) -> np.ndarray:
    """(S, U, 1) of the values of each seed."""
    return np.array(seeds, dtype=np.float64)[:, :, None]


def compare(
    ours: np.ndarray, theirs: np.ndarray, *, number: int = 1_999, **changes: Any
) -> PairedDifference:
    (found,) = paired_differences(ours, theirs, **{"num_resamples": number, "seed": 0, **changes})
    return found


def test_pairs_that_share_their_draws_come_out_as_alone_to_the_last_bit() -> None:
    rng = np.random.default_rng(3)
    sides = [(rng.random((s, 50, 2)), rng.random((t, 50, 2))) for s, t in ((3, 2), (1, 3), (2, 2))]
    together = differences_of([paired(*both) for both in sides], num_resamples=999, seed=5)
    alone = [paired_differences(*both, num_resamples=999, seed=5) for both in sides]
    assert together == alone


def test_one_fixed_system_against_another_is_studentised_over_users_drawn_one_by_one() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(60) ** 4, rng.random(60) ** 4
    found = compare(of_users(ours), of_users(theirs), fixed=(True, True), number=20_000)
    differences = ours - theirs
    drawn = differences[np.random.default_rng(1).integers(60, size=(20_000, 60))]
    variances = (drawn.var(axis=1) + 0.1 * differences.var()) / 1.1
    shifts = (drawn.mean(axis=1) - differences.mean()) / np.sqrt(variances) * differences.std()
    means = differences.mean() - shifts
    assert found.mean == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975])), abs=0.005
    )
    assert found.p_value == pytest.approx(
        2 * min((means <= 0).mean(), (means >= 0).mean()), abs=0.02
    )
    assert found.num_users == 60


def test_seeds_that_move_all_users_alike_give_the_t_test_of_their_means() -> None:
    theirs = np.linspace(0, 0.5, 40)
    shifts = np.array([0.10, 0.16, 0.04])
    found = compare(
        of_users(*(theirs + s for s in shifts)),
        of_users(theirs),
        fixed=(False, True),
        number=40_000,
    )
    error = shifts.std(ddof=1) / np.sqrt(3)
    half = stats.t.ppf(0.975, 2) * error
    assert found.mean == pytest.approx(0.10)
    assert (found.low, found.high) == pytest.approx((0.10 - half, 0.10 + half), rel=0.05)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.10 / error, 2), rel=0.1)


def test_with_one_seed_there_is_no_p_value_and_the_interval_is_over_users() -> None:
    rng = np.random.default_rng(2)
    one, three = rng.random((1, 300, 1)), rng.random((3, 300, 1))
    for sides in ((one, three), (three, one), (one, 1 - one)):
        found = compare(*sides)
        assert (found.p_value, found.detectable, found.over_seeds) == (None, None, False)
        difference = sides[0].mean(axis=0) - sides[1].mean(axis=0)
        half = 1.96 * difference.std(ddof=1) / np.sqrt(300)
        assert found.high - found.low == pytest.approx(2 * half, rel=0.06)
    assert compare(one, three, fixed=(True, False)).over_seeds  # nothing else comes of its seed


def test_a_difference_that_every_user_shows_is_sure_over_users() -> None:
    theirs = np.random.default_rng(0).random(50) / 2  # differ far more than the two systems
    found = compare(of_users(theirs + 0.01), of_users(theirs), fixed=(True, True), number=999)
    assert (found.low, found.high) == pytest.approx((0.01, 0.01))
    assert found.p_value == 2 / 1000


def test_equal_systems_do_not_differ() -> None:
    values = of_users([0.0, 1.0, 0.5])
    assert compare(values, values, fixed=(True, True))[:4] == (0.0, 0.0, 0.0, 1.0)
    seeds = of_users([0.0, 1.0, 0.5], [0.0, 1.0, 0.5])
    assert compare(seeds, seeds)[:4] == (0.0, 0.0, 0.0, 1.0)


def test_swapping_the_systems_changes_only_the_sign() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.random((3, 200, 1)), rng.random((3, 200, 1))
    one, other = compare(ours, theirs, number=20_000), compare(theirs, ours, number=20_000)
    assert one.mean == -other.mean
    assert one.detectable == pytest.approx(other.detectable)
    assert one.low == pytest.approx(-other.high, abs=0.004)
    assert one.p_value == pytest.approx(other.p_value, abs=0.03)


def test_an_interval_is_no_wider_than_metrics_can_differ() -> None:
    rng = np.random.default_rng(4)
    ours, theirs = of_users([1, 0, 1], [0, 1, 0]), of_users(rng.random(3), rng.random(3))
    found = compare(ours, theirs)
    assert -1 <= found.low < found.high <= 1
    assert compare(of_users([1]), of_users([0]), fixed=(True, True))[:2] == (1.0, 1.0)


def test_one_user_of_many_who_differs_leaves_an_interval_of_use() -> None:
    ours, theirs = np.zeros(100), np.zeros(100)
    ours[0] = 1  # a third of the draws miss this user, and then have no error of their own
    found = compare(of_users(ours), of_users(theirs), fixed=(True, True))
    low, high = stats.binomtest(1, 100).proportion_ci()
    assert found.low <= low
    assert high / 2 < found.high < 2 * high
    assert found.p_value > 0.05


def test_metrics_together_are_compared_as_each_alone() -> None:
    rng = np.random.default_rng(5)
    ours, theirs = rng.random((3, 80, 2)), rng.random((2, 80, 2))
    both = paired_differences(ours, theirs, num_resamples=4_000, seed=0)
    for column, found in enumerate(both):
        alone = compare(ours[:, :, [column]], theirs[:, :, [column]], number=4_000)
        assert found.mean == pytest.approx(alone.mean)
        assert found.detectable == pytest.approx(alone.detectable)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_blocks_of_draws_cover_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    ours, theirs = rng.random((2, 50, 1)), rng.random((2, 50, 1))
    whole = compare(ours, theirs, number=103)
    monkeypatch.setattr("missrec.metrics.significance._BLOCK_VALUES", 70)
    assert compare(ours, theirs, number=103) == pytest.approx(whole)


@pytest.mark.parametrize(
    "shapes",
    [((1, 0, 1), (1, 0, 1)), ((1, 3, 1), (1, 2, 1)), ((2, 2), (2, 2)), ((0, 2, 1), (1, 2, 1))],
)
def test_users_that_cannot_be_paired_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        compare(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_holm_multiplies_by_the_tests_that_are_left_and_never_falls() -> None:
    # sorted: .01 x 4, .02 x 3, .03 x 2 (= .06, as the one before), .9 x 1
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.04, 0.04]) == pytest.approx([0.08, 0.08])
    assert holm([0.5, 0.6, 0.7]) == [1.0, 1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        p_values = rng.random(7) ** 4
        rejected = set()
        for step, test in enumerate(np.argsort(p_values)):
            if p_values[test] > 0.05 / (7 - step):
                break
            rejected.add(test)
        assert {i for i, p in enumerate(holm(list(p_values))) if p <= 0.05} == rejected


@pytest.mark.parametrize("p_values", [[0.1, 1.5], [-0.1], [float("nan")]])
def test_what_is_no_p_value_is_refused(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match="must lie in 0"):
        holm(p_values)
