from __future__ import annotations

import numpy as np
import pytest

from missrec.data.statistics import DomainStatistics, domain_statistics, leak_rate, tie_share
from synthetic import prepared_domain


def test_row_of_table_1() -> None:
    assert domain_statistics(prepared_domain()) == DomainStatistics(
        name="tiny",
        num_users=4,
        num_items=6,
        num_with={"text": 6, "image": 6 - 2},
        num_interactions=18,
        mean_length=18 / 4,
        tie_share=None,
        leak_rate=None,
        published={},
    )


def test_items_nobody_touched_are_counted() -> None:
    assert domain_statistics(prepared_domain([[1, 2, 1]])).num_items == 6


def test_ties_are_steps_within_a_user_that_take_no_time() -> None:
    # User 0: 2 = 2 < 5; user 1: 5 = 5 = 5 < 6. The two fives side by side are no step.
    times = np.array([2, 2, 5, 5, 5, 5, 6])
    assert tie_share(offsets=np.array([0, 3, 7]), times=times) == 3 / 5


def test_leak_rate_is_the_training_share_after_the_test_interaction() -> None:
    # Trained on: times 1 of user 0, 2 and 6 of user 1. Later than user 0's test at 5: one of
    # three; later than user 1's test at 9: none.
    times = np.array([1, 4, 5, 2, 6, 8, 9])
    assert leak_rate(offsets=np.array([0, 3, 7]), times=times) == pytest.approx((1 / 3 + 0) / 2)


def test_equal_times_are_no_leak() -> None:
    assert leak_rate(offsets=np.array([0, 3, 6]), times=np.full(6, 7)) == 0
