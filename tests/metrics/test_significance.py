from __future__ import annotations

import numpy as np
import pytest

from missrec.metrics.significance import paired_bootstrap


def naive_means(differences: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(differences), size=(num_resamples, len(differences)))
    return differences[drawn].mean(axis=1)


def test_interval_and_p_value_agree_with_drawing_users_one_by_one() -> None:
    rng = np.random.default_rng(0)
    ours = (rng.random(400) < 0.25).astype(float)
    theirs = (rng.random(400) < 0.20).astype(float)
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


def test_blocks_of_draws_cover_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    ours, theirs = rng.random(10), rng.random(10)
    whole = paired_bootstrap(ours, theirs, num_resamples=103, seed=0)
    monkeypatch.setattr("missrec.metrics.significance._BLOCK_VALUES", 70)
    assert paired_bootstrap(ours, theirs, num_resamples=103, seed=0) == pytest.approx(whole)


@pytest.mark.parametrize("shapes", [((0,), (0,)), ((3,), (2,)), ((2, 2), (2, 2))])
def test_users_that_cannot_be_paired_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_bootstrap(np.zeros(shapes[0]), np.zeros(shapes[1]), num_resamples=9, seed=0)
