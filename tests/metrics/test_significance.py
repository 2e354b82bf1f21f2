from __future__ import annotations

import numpy as np
import pytest

from missrec.metrics.significance import holm, paired_bootstrap


def naive_means(differences: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(differences), size=(num_resamples, len(differences)))
    return differences[drawn].mean(axis=1)


@pytest.mark.parametrize("noise", [0.0, 0.1])  # few distinct differences, and one a user
def test_interval_and_p_value_agree_with_drawing_users_one_by_one(noise: float) -> None:
    rng = np.random.default_rng(0)
    ours = (rng.random(400) < 0.25) + noise * rng.random(400)
    theirs = (rng.random(400) < 0.20) + noise * rng.random(400)
    result = paired_bootstrap(ours, theirs, num_resamples=20_000, seed=1)
    means = naive_means(ours - theirs, num_resamples=20_000, seed=2)
    assert result.mean == pytest.approx((ours - theirs).mean())
    assert (result.low, result.high) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975])), abs=2.5 / 400
    )
    assert result.p_value == pytest.approx(
        2 * min((means <= 0).mean(), (means >= 0).mean()), abs=0.02
    )
    assert result.num_users == 400


def test_pairing_sees_a_difference_that_every_user_shows() -> None:
    theirs = np.random.default_rng(0).random(50)  # differ far more than the two systems
    result = paired_bootstrap(theirs + 0.01, theirs, num_resamples=999, seed=0)
    assert result.low == pytest.approx(0.01)
    assert result.high == pytest.approx(0.01)
    assert result.p_value == 2 / 1000


def test_equal_systems_do_not_differ() -> None:
    values = np.array([0.0, 1.0, 0.5])
    result = paired_bootstrap(values, values, num_resamples=100, seed=0)
    assert result[:4] == (0.0, 0.0, 0.0, 1.0)


def test_swapping_the_systems_changes_only_the_sign() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.random(200), rng.random(200)
    one = paired_bootstrap(ours, theirs, num_resamples=20_000, seed=0)
    other = paired_bootstrap(theirs, ours, num_resamples=20_000, seed=0)
    assert one.mean == -other.mean
    assert one.low == pytest.approx(-other.high, abs=0.004)
    assert one.p_value == pytest.approx(other.p_value, abs=0.03)


def test_a_single_user_has_an_interval_of_one_point() -> None:
    result = paired_bootstrap(np.array([1.0]), np.array([0.0]), num_resamples=99, seed=0)
    assert result == (1.0, 1.0, 1.0, 2 / 100, 1)


@pytest.mark.parametrize("num_distinct", [2, 50])
def test_blocks_of_draws_cover_all_resamples(
    monkeypatch: pytest.MonkeyPatch, num_distinct: int
) -> None:
    rng = np.random.default_rng(4)
    ours, theirs = rng.integers(num_distinct, size=50) / 1.0, np.zeros(50)
    whole = paired_bootstrap(ours, theirs, num_resamples=103, seed=0)
    monkeypatch.setattr("missrec.metrics.significance._BLOCK_VALUES", 70)
    assert paired_bootstrap(ours, theirs, num_resamples=103, seed=0) == pytest.approx(whole)


@pytest.mark.parametrize("shapes", [((0,), (0,)), ((3,), (2,)), ((2, 2), (2, 2))])
def test_users_that_cannot_be_paired_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_bootstrap(np.zeros(shapes[0]), np.zeros(shapes[1]), num_resamples=9, seed=0)


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
