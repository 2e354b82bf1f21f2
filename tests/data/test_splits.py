from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missrec.data.splits import GlobalTime, LeaveOneOut, Split, seen_in_training

LENGTHS = st.lists(st.integers(min_value=3, max_value=9), min_size=1, max_size=8)


def offsets_of(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)])


def leave_one_out(offsets: np.ndarray) -> Split:
    return LeaveOneOut()(offsets=offsets, times=None, first_users=np.array([0, len(offsets) - 1]))


def test_positions_of_three_users() -> None:
    # user 0 owns positions 0..4, user 1 owns 5..7 (nothing to train on), user 2 owns 8..11
    split = leave_one_out(np.array([0, 5, 8, 12]))
    assert split.train.tolist() == [1, 2, 9]
    assert split.val.tolist() == [3, 6, 10]
    assert split.test.tolist() == [4, 7, 11]
    assert split.train_ends.tolist() == [3, 6, 10]


@given(LENGTHS, st.data())
def test_training_sees_the_beginning_of_each_user(lengths: list[int], data: st.DataObject) -> None:
    offsets = offsets_of(lengths)
    seen = [data.draw(st.integers(0, length)) for length in lengths]
    expected = [
        place < own for own, length in zip(seen, lengths, strict=True) for place in range(length)
    ]
    assert seen_in_training(offsets, offsets[:-1] + seen).tolist() == expected


@given(LENGTHS)
def test_every_position_but_a_users_first_is_in_exactly_one_part(lengths: list[int]) -> None:
    offsets = offsets_of(lengths)
    split = leave_one_out(offsets)
    used = sorted(np.concatenate([*split[:3], offsets[:-1]]).tolist())
    assert used == list(range(sum(lengths)))
    assert (split.test == split.val + 1).all()


def test_boundaries_in_time_of_three_users() -> None:
    # Sorted times 1 2 3 4 5 6 7 8 9 9 9: the boundaries at shares .5 and .8 are 6 and 9.
    times = np.array([1, 2, 6, 7, 9, 3, 4, 5, 8, 9, 9])
    split = GlobalTime(val_from=0.5, test_from=0.8)(
        offsets=np.array([0, 5, 8, 11]), times=times, first_users=np.array([0, 3])
    )
    assert split.train.tolist() == [1, 6, 7]
    assert split.val.tolist() == [2]  # user 1 did nothing there; user 2 has no history
    assert split.test.tolist() == [4, 9]
    assert split.train_ends.tolist() == [2, 8, 8]  # all of user 1, nothing of user 2


@given(st.data(), LENGTHS, st.integers(min_value=1, max_value=3))
def test_a_split_by_time_never_leaks(
    data: st.DataObject, lengths: list[int], num_domains: int
) -> None:
    offsets = offsets_of(lengths)
    drawn = st.lists(
        st.integers(min_value=-20, max_value=20), min_size=sum(lengths), max_size=sum(lengths)
    )
    users = [sorted(part) for part in np.split(np.array(data.draw(drawn)), offsets[1:-1])]
    times = np.concatenate(users)
    first_users = np.unique(np.linspace(0, len(lengths), num_domains + 1).astype(int))
    split = GlobalTime(val_from=0.6, test_from=0.8)(
        offsets=offsets, times=times, first_users=first_users
    )
    owner = np.searchsorted(offsets, np.arange(len(times)), side="right") - 1
    domain = np.searchsorted(first_users, owner, side="right")
    in_training = seen_in_training(offsets, split.train_ends)
    assert in_training[split.train].all()
    for part, before in (
        (split.val, [in_training]),
        (split.test, [in_training, split.val]),
    ):
        assert len(set(owner[part])) == len(part)  # a user once
        assert (part > offsets[owner[part]]).all()  # with a history
        for position in part:
            same_domain = np.flatnonzero(domain == domain[position])
            for earlier in before:
                known = np.intersect1d(same_domain, np.arange(len(times))[earlier])
                assert (times[known] < times[position]).all()


@pytest.mark.parametrize(("val_from", "test_from"), [(0, 0.9), (0.8, 0.8), (0.9, 0.8), (0.8, 1)])
def test_boundaries_out_of_order_are_refused(val_from: float, test_from: float) -> None:
    with pytest.raises(ValueError, match=r"0 < val_from < test_from < 1"):
        GlobalTime(val_from=val_from, test_from=test_from)
