from __future__ import annotations

import numpy as np
import pytest

from missrec.metrics.components import spread


def drawn(
    rng: np.random.Generator, *, seeds: int, users: int, over_seeds: float, noise: float
) -> np.ndarray:
    """(S, U, 1) zeros moved by each seed, and by each seed at each user."""
    of_seeds = over_seeds * rng.standard_normal((seeds, 1, 1))
    return of_seeds + noise * rng.standard_normal((seeds, users, 1))


def test_components_of_two_seeds_and_two_users_by_hand() -> None:
    ours = np.array([[0.1, 0.5], [0.3, 0.3]])[:, :, None]  # means .3, .3; of users .2, .4
    theirs = np.array([[0.0, 0.2]])[:, :, None]
    found = spread(ours, theirs, fixed=(False, True))
    noise = 4 * 0.1**2 / (1 * 1) / (2 * 2)  # each value is .1 from its seed and user
    assert found.of_noise == pytest.approx(noise)
    assert found.over_seeds == pytest.approx(noise)  # their means are equal by chance
    assert found.over_users == pytest.approx(0)  # .2 above at both users
    assert found.degrees == pytest.approx(1)
    apart = spread(ours + np.array([0, 0.2])[:, None, None], theirs, fixed=(False, True))
    assert apart.over_seeds == pytest.approx(0.2**2 / 2 / 2)
    assert apart.of_noise == pytest.approx(noise)
    assert apart.total == pytest.approx(0.2**2 / 2 / 2)


def test_three_seeds_show_the_whole_of_their_spread_and_the_noise_counts_once() -> None:
    rng = np.random.default_rng(0)
    users, favours = 50, 0.3
    found = []
    for _ in range(4_000):
        ours, theirs = (drawn(rng, seeds=3, users=users, over_seeds=0.1, noise=0.5) for _ in "ab")
        ours += favours * rng.standard_normal((1, users, 1))
        found.append(spread(ours, theirs, fixed=(False, False)))
    one_seed, noise, of_users = 0.1**2, 0.5**2 / users, favours**2 / users
    expected = {
        "over_seeds": 2 * (one_seed + noise) / 3,
        "of_noise": 2 * noise / 3,
        "over_users": of_users + 2 * noise / 3,
        "total": 2 * (one_seed + noise) / 3 + of_users,
    }
    for name, value in expected.items():
        assert np.mean([getattr(one, name) for one in found]) == pytest.approx(value, rel=0.03), (
            name
        )


def test_degrees_of_freedom_are_those_of_the_side_whose_seeds_differ() -> None:
    rng = np.random.default_rng(1)
    wild, calm = rng.random((4, 30, 1)), 1e-6 * rng.random((3, 30, 1))
    assert spread(wild, calm, fixed=(False, False)).degrees == pytest.approx(3)
    assert spread(wild, calm[:1], fixed=(False, True)).degrees == pytest.approx(3)
    assert spread(wild, wild, fixed=(False, False)).degrees == pytest.approx(6)  # at most 3 + 3
    assert spread(calm, wild[:1], fixed=(True, True)).total_degrees == pytest.approx(29)


def test_a_side_of_one_seed_says_nothing_of_others() -> None:
    found = spread(np.ones((1, 5, 2)), np.zeros((3, 5, 2)), fixed=(False, False))
    assert np.isnan(found.over_seeds).all()
    assert np.isnan(found.total).all()
