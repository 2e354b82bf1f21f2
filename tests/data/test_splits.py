from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from missrec.data.splits import leave_one_out


def test_positions_of_three_users() -> None:
    # user 0 owns positions 0..4, user 1 owns 5..7 (nothing to train on), user 2 owns 8..11
    split = leave_one_out(np.array([0, 5, 8, 12]))
    assert split.train.tolist() == [1, 2, 9]
    assert split.val.tolist() == [3, 6, 10]
    assert split.test.tolist() == [4, 7, 11]


@given(st.lists(st.integers(min_value=3, max_value=9), min_size=1, max_size=8))
def test_every_position_but_a_users_first_is_in_exactly_one_part(lengths: list[int]) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    split = leave_one_out(offsets)
    used = sorted(np.concatenate([*split, offsets[:-1]]).tolist())
    assert used == list(range(sum(lengths)))
    assert (split.test == split.val + 1).all()
