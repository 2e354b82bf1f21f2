from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missrec.data.splits import (
    AnySplitter,
    ByUsers,
    FewerUsers,
    GlobalTime,
    Keys,
    LeaveOneOut,
    Ratio,
    Split,
    SplitError,
    seen_in_training,
    with_keys,
)

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


def split(splitter: AnySplitter, offsets: np.ndarray, **given: Any) -> Split:
    """The split of one domain of users u0, u1, ... who each took items of their own."""
    num_users = len(offsets) - 1
    keys = Keys(
        pl.Series([f"u{user}" for user in range(num_users)], dtype=pl.String),
        pl.Series([f"i{item}" for item in range(1, offsets[-1] + 1)], dtype=pl.String),
        np.arange(1, offsets[-1] + 1, dtype=np.int32),
    )
    filled = {"times": None, "first_users": np.array([0, num_users]), "keys": keys, **given}
    keys = filled.pop("keys")
    return with_keys(splitter, lambda: keys)(offsets=offsets, **filled)


@pytest.mark.parametrize(
    ("val_from", "test_from"),
    [
        (0, 0.9),
        (0.8, 0.8),
        (0.9, 0.8),
        (0.8, 1),
        (0.8, 7),
        (7, 7),
        (0.8, "2018-01-01"),
        ("2018-01-01", "2018-01-01"),
        ("2018-02-01", "2018-01-31T23:59"),
        ("2018-13-01", "2019-01-01"),
        ("abc", "abd"),
        (True, 2),
        (None, 0.9),
        (float("nan"), 0.9),
        (0.8, float("inf")),
    ],
)
def test_boundaries_out_of_order_or_of_two_kinds_are_refused(val_from: Any, test_from: Any) -> None:
    with pytest.raises(ValueError, match=r"0 < val_from < test_from < 1 .*or two dates"):
        GlobalTime(val_from=val_from, test_from=test_from)


@pytest.mark.parametrize("per_second", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize(
    ("val_from", "test_from"),
    [
        ("2018-01-05", "2018-01-08"),
        ("2018-01-05T00:00:00Z", "2018-01-08T01:00+01:00"),
        ("2018-01-04T00:00:00.000001", "2018-01-07 12:00"),
    ],
)
def test_dates_are_boundaries_whatever_the_unit_of_the_times(
    val_from: str, test_from: str, per_second: int
) -> None:
    # Two users, on the days 1 3 5 7 9 and 2 4 6 8 10 of a January.
    days = np.array([1, 3, 5, 7, 9, 2, 4, 6, 8, 10])
    new_year = int(datetime(2018, 1, 1, tzinfo=UTC).timestamp())
    times = (new_year + (days - 1) * 86400) * per_second
    found = split(
        GlobalTime(val_from=val_from, test_from=test_from), np.array([0, 5, 10]), times=times
    )
    assert days[found.val].tolist() == [5, 6]
    assert days[found.test].tolist() == [9, 8]
    assert found.train_ends.tolist() == [2, 7]


def test_times_of_the_data_are_boundaries_too() -> None:
    times = np.array([1, 2, 6, 7, 9, 3, 4, 5, 8, 9, 9])
    offsets = np.array([0, 5, 8, 11])
    by_share = split(GlobalTime(val_from=0.5, test_from=0.8), offsets, times=times)
    by_time = split(GlobalTime(val_from=6, test_from=9), offsets, times=times)
    assert all(map(np.array_equal, by_share, by_time))


def test_dates_of_which_no_unit_makes_times_of_the_data_are_refused() -> None:
    splitter = GlobalTime(val_from="2030-01-01", test_from="2031-01-01")
    with pytest.raises(SplitError, match=r"run from 1 to 6.* neither 2030-01-01 nor 2031-01-01"):
        split(splitter, np.array([0, 3, 6]), times=np.arange(1, 7))


FIRST, LAST = 1_500_000_000, 1_531_536_000  # in 2017 and 2018


@pytest.mark.parametrize(
    ("val_from", "test_from", "said"),
    [
        (20170801, 20170901, r"^val_from \(20170801\) is not within"),
        (2017, 2018, r"^val_from \(2017\) is not"),
        (80, 90, r"^val_from \(80\) is not"),
        (FIRST, LAST, rf"^val_from \({FIRST}\) is not"),  # nothing comes before it
        (FIRST + 1, LAST + 1, rf"^test_from \({LAST + 1}\) is not"),
        (LAST + 1, LAST + 2, rf"^val_from \({LAST + 1}\) is not"),
        (FIRST + 1, LAST, None),
        ("2018-01-01", "2018-09-01", r"^test_from \(2018-09-01\), which is 1535760000, is not"),
        ("2016-01-01", "2018-01-01", r"^val_from \(2016-01-01\), which is 1451606400, is not"),
        ("2017-09-01", "2018-05-01", None),
    ],
)
def test_boundaries_outside_the_times_of_the_data_are_told_with_these(
    val_from: Any, test_from: Any, said: str | None
) -> None:
    splitter = GlobalTime(val_from=val_from, test_from=test_from)
    times = np.linspace(FIRST, LAST, 6).astype(np.int64)
    with pytest.raises(SplitError, match=said) if said else nullcontext() as refused:
        split(splitter, np.array([0, 3, 6]), times=times)
    if refused:
        assert f"run from {FIRST} to {LAST}" in str(refused.value)


@pytest.mark.parametrize(
    ("val_from", "test_from", "said"),
    [
        (20, 21, r"interaction from val_from \(20\) up to test_from \(21\) and one before"),
        (15, 40, r"interaction from test_from \(40\) on and one before"),
        (15, 30, None),
    ],
)
def test_a_window_between_two_times_in_which_nobody_did_anything_is_told(
    val_from: int, test_from: int, said: str | None
) -> None:
    splitter = GlobalTime(val_from=val_from, test_from=test_from)
    times = np.array([1, 16, 32, 2, 17, 31, 45])
    offsets = np.array([0, 3, 6, 7])  # the last has no history
    with pytest.raises(SplitError, match=said) if said else nullcontext() as refused:
        split(splitter, offsets, times=times)
    if refused:
        assert "run from 1 to 45" in str(refused.value)


@pytest.mark.parametrize(
    ("length", "val", "test", "expected"),
    [
        # places of the end of training, of the validation target and of the test target
        (20, 0.1, 0.1, (16, 16, 18)),
        (29, 0.1, 0.1, (25, 25, 27)),  # 2.9 is 2
        (100, 0.29, 0.29, (42, 42, 71)),  # 29, though 0.29 * 100 < 29 as floats
        (3, 0.1, 0.1, (1, 1, 2)),  # leave-one-out of the short
        (10, 0.2, 0.5, (3, 3, 5)),
        (3, 0.05, 0.9, (1, None, 1)),  # nothing is left to validate on
        (4, 0.4, 0.4, (2, 2, 3)),
    ],
)
def test_ratio_holds_out_the_last_of_each_user(
    length: int, val: float, test: float, expected: tuple[int, int | None, int]
) -> None:
    found = split(Ratio(val=val, test=test), np.array([0, length]))
    end, val_place, test_place = expected
    assert found.train_ends.tolist() == [end]
    assert found.val.tolist() == ([] if val_place is None else [val_place])
    assert found.test.tolist() == [test_place]
    assert found.train.tolist() == list(range(1, end))


@given(LENGTHS, st.floats(0.01, 0.49), st.floats(0.01, 0.49))
def test_ratio_trains_before_it_validates_before_it_tests(
    lengths: list[int], val: float, test: float
) -> None:
    offsets = offsets_of(lengths)
    found = split(Ratio(val=val, test=test), offsets)
    owners = [np.searchsorted(offsets, part, side="right") - 1 for part in found[:3]]
    assert (found.train_ends > offsets[:-1]).all()  # everybody is trained on
    assert (found.train < found.train_ends[owners[0]]).all()
    assert owners[2].tolist() == list(range(len(lengths)))  # and tested
    assert (found.val >= found.train_ends[owners[1]]).all()
    assert (found.val < found.test[owners[1]]).all()
    assert len(set(owners[1])) == len(owners[1])
    in_training = seen_in_training(offsets, found.train_ends)
    assert not in_training[found.val].any()
    assert not in_training[found.test].any()


@given(st.lists(st.integers(3, 9), min_size=3, max_size=30), st.integers(0, 3))
def test_users_are_trained_on_whole_or_not_at_all(lengths: list[int], seed: int) -> None:
    offsets = offsets_of(lengths)
    found = split(ByUsers(val=0.2, test=0.3, seed=seed), offsets)
    val, test = (np.searchsorted(offsets, part, side="right") - 1 for part in found[1:3])
    held_out = {*val.tolist(), *test.tolist()}
    assert len(held_out) == len(val) + len(test)  # nobody twice
    assert len(test) == max(1, round(0.3 * len(lengths)))
    assert len(val) == max(1, round(0.2 * len(lengths)))
    for user, length in enumerate(lengths):
        assert found.train_ends[user] - offsets[user] == (0 if user in held_out else length)
    assert (found.val == offsets[val + 1] - 1).all()  # the last item
    assert (found.test == offsets[test + 1] - 1).all()


def test_users_are_chosen_by_their_keys_whatever_their_numbers() -> None:
    lengths = [3, 4, 5, 6, 7, 8, 9, 10, 3, 4]
    splitter = ByUsers(val=0.2, test=0.2, seed=0)
    names = [f"user {number}" for number in range(10)]
    items = pl.Series([], dtype=pl.String)

    def tested(order: list[int]) -> set[str]:
        offsets = offsets_of([lengths[user] for user in order])
        keys = Keys(pl.Series([names[user] for user in order]), items, np.empty(0))
        found = split(splitter, offsets, keys=keys)
        return {
            names[order[user]] for user in np.searchsorted(offsets, found.test, side="right") - 1
        }

    assert tested(list(range(10))) == tested(list(range(9, -1, -1))) == {"user 4", "user 9"}


def test_each_domain_holds_out_its_share_of_users() -> None:
    offsets = offsets_of([3] * 15)
    found = split(ByUsers(val=0.2, test=0.2, seed=0), offsets, first_users=np.array([0, 5, 15]))
    assert np.sum(found.test < offsets[5]) == 1
    assert np.sum(found.test >= offsets[5]) == 2


@pytest.mark.parametrize(("num_users", "sizes"), [(1, (0, 0, 1)), (2, (0, 1, 1)), (3, (2, 1, 1))])
def test_of_a_handful_of_users_one_is_tested_and_one_validated(
    num_users: int, sizes: tuple[int, int, int]
) -> None:
    found = split(ByUsers(val=0.1, test=0.1, seed=0), offsets_of([3] * num_users))
    assert tuple(map(len, found[:3])) == sizes  # what lacks is refused when it is to be used


@pytest.mark.parametrize(
    ("val", "test"),
    [(0, 0.1), (0.1, 0), (0.5, 0.5), (-0.1, 0.1), ("a", 0.1), (None, 0.1), (True, 0.1)],
)
def test_shares_that_leave_nothing_are_refused(val: Any, test: Any) -> None:
    message = r"must be shares above 0 whose sum is below 1"
    with pytest.raises(ValueError, match=message):
        Ratio(val=val, test=test)
    with pytest.raises(ValueError, match=message):
        ByUsers(val=val, test=test, seed=0)


@given(LENGTHS, st.sampled_from([0.01, 0.3, 0.5, 1]), st.integers(0, 3))
def test_a_share_of_the_users_is_trained_on_and_all_are_tested(
    lengths: list[int], train_share: float, seed: int
) -> None:
    offsets = offsets_of(lengths)
    whole = leave_one_out(offsets)
    found = split(FewerUsers(of=LeaveOneOut(), train_share=train_share, seed=seed), offsets)
    assert found.val.tolist() == whole.val.tolist()
    assert found.test.tolist() == whole.test.tolist()
    in_whole, in_found = (seen_in_training(offsets, part.train_ends) for part in (whole, found))
    users = np.repeat(np.arange(len(lengths)), lengths)
    trained = np.flatnonzero(found.train_ends > offsets[:-1])
    assert len(trained) <= max(1, round(train_share * len(lengths)))
    assert (in_found == in_whole & np.isin(users, trained)).all()
    assert found.train.tolist() == [p for p in whole.train.tolist() if users[p] in trained]


def test_a_larger_share_has_the_users_of_a_smaller_one() -> None:
    offsets = offsets_of([4] * 50)
    trained = [
        set(split(FewerUsers(of=LeaveOneOut(), train_share=share, seed=1), offsets).train.tolist())
        for share in (0.02, 0.2, 0.5, 1)
    ]
    assert list(map(len, trained)) == [1, 10, 25, 50]
    assert trained[0] < trained[1] < trained[2] < trained[3]


def test_shares_are_of_each_domain_and_of_any_split() -> None:
    offsets, first_users = offsets_of([3] * 15), np.array([0, 5, 15])
    inner = ByUsers(val=0.2, test=0.2, seed=0)
    found = split(FewerUsers(of=inner, train_share=0.4, seed=0), offsets, first_users=first_users)
    assert found.val.tolist() == split(inner, offsets, first_users=first_users).val.tolist()
    users = np.unique(np.searchsorted(offsets, found.train, side="right") - 1)
    assert len(users[users < 5]) <= 2
    assert len(users[users >= 5]) <= 4
    held_out = np.searchsorted(offsets, [*found.val, *found.test], side="right") - 1
    assert not set(users) & set(held_out.tolist())


@pytest.mark.parametrize("share", [0, -0.5, 1.5, float("nan")])
def test_shares_that_train_on_nobody_or_on_too_many_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"must be above 0 and at most 1"):
        FewerUsers(of=LeaveOneOut(), train_share=share, seed=0)
