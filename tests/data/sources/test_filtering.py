from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missrec.data.domain import PreparedDomain
from missrec.data.sources.events import EVENTS, ITEM_ROWS
from missrec.data.sources.filtering import InteractionFilter, k_core
from synthetic import sequences_of

Event = tuple[str, str, int]
Pair = tuple[int, int]


def interaction_filter(**changes: Any) -> InteractionFilter:
    settings: dict[str, Any] = {
        "keep_repeats": False,
        "min_user_interactions": 3,
        "min_item_interactions": 1,
        "keep_unseen_items": False,
    }
    return InteractionFilter(**settings | changes)


def domain(events: Sequence[Event], items: str, **changes: Any) -> PreparedDomain:
    """The domain of these events where each letter of `items` is an item with metadata."""
    rows = [(item, f"Text of {item}.", [f"http://{item}"]) for item in items]
    return interaction_filter(**changes).domain(
        name="tiny",
        events=pl.DataFrame(events, schema=EVENTS, orient="row"),
        items=pl.DataFrame(rows, schema=ITEM_ROWS, orient="row"),
        timed=True,
        num_rows=len(events) + 1,
        settings={"source": "test"},
        published={},
    )


def by_user(prepared: PreparedDomain) -> dict[str, str]:
    keys = ["", *prepared.item_keys]
    sequences = sequences_of(prepared)
    return {
        user: "".join(keys[item] for item in sequence)
        for user, sequence in zip(prepared.user_keys, sequences, strict=True)
    }


def events_of(user: str, items: str, times: Sequence[int] | None = None) -> list[Event]:
    return [
        (user, item, time) for item, time in zip(items, times or range(len(items)), strict=False)
    ]


def test_sequences_go_by_time_and_equal_times_by_the_file() -> None:
    prepared = domain(events_of("u", "dcba", [9, 5, 5, 1]), "abcd")
    assert by_user(prepared) == {"u": "acbd"}
    assert prepared.times is not None
    assert prepared.times.tolist() == [1, 5, 5, 9]


def test_ids_texts_and_addresses_go_by_key() -> None:
    prepared = domain(
        [*events_of("v", "cab"), *events_of("u", "bcb", [3, 2, 1])], "dcab", keep_repeats=True
    )
    assert prepared.user_keys == ["u", "v"]
    assert prepared.item_keys == ["a", "b", "c"]
    assert prepared.item_texts == ["Text of a.", "Text of b.", "Text of c."]
    assert prepared.image_urls is not None
    assert prepared.image_urls.to_list() == [["http://a"], ["http://b"], ["http://c"]]
    assert prepared.items.tolist() == [2, 3, 2, 3, 1, 2]
    assert prepared.offsets.tolist() == [0, 3, 6]
    assert (prepared.items.dtype, prepared.offsets.dtype) == (np.int32, np.int64)


def test_an_item_counts_once_at_its_first_time() -> None:
    prepared = domain(events_of("u", "abcba", [5, 2, 3, 9, 1]), "abc")
    assert by_user(prepared) == {"u": "abc"}
    assert prepared.times is not None
    assert prepared.times.tolist() == [1, 2, 3]


def test_kept_repeats_are_those_at_another_time() -> None:
    events = events_of("u", "abbbc", [1, 2, 2, 3, 4])
    assert by_user(domain(events, "abc", keep_repeats=True)) == {"u": "abbc"}


def test_items_without_metadata_go_before_users_are_counted() -> None:
    events = [*events_of("u", "abxy"), *events_of("v", "abc")]
    assert by_user(domain(events, "abc")) == {"v": "abc"}


@pytest.mark.parametrize(
    ("keep", "catalogue"), [(True, ["a", "b", "c", "z"]), (False, ["a", "b", "c"])]
)
def test_items_nobody_took_stay_where_asked(keep: bool, catalogue: list[str]) -> None:
    prepared = domain(events_of("u", "abc"), "zabc", keep_unseen_items=keep)
    assert prepared.item_keys == list(catalogue)
    assert prepared.items.tolist() == [1, 2, 3]


def test_every_step_is_counted() -> None:
    events = [*events_of("u", "abca"), *events_of("v", "abx"), *events_of("w", "c")]
    steps = [tuple(step) for step in domain(events, "abc").steps]
    assert steps == [
        ("rows read", 8 + 1, None, None),
        ("readable", 8, 3, 4),
        ("of items with metadata", 7, 3, 3),
        ("without repeats", 6, 3, 3),
        ("users with 3, items with 1", 3, 1, 3),
    ]


@pytest.mark.parametrize("events", [[], events_of("u", "ab"), events_of("u", "xyz")])
def test_nothing_left_is_refused_with_the_steps(events: list[Event]) -> None:
    with pytest.raises(
        ValueError, match=r"tiny: no interaction is left \(rows read: .*items with 1: 0"
    ):
        domain(events, "abc")


def test_users_too_short_to_split_are_refused() -> None:
    with pytest.raises(ValueError, match=r"min_user_interactions \(2\) must be at least 3"):
        interaction_filter(min_user_interactions=2)
    with pytest.raises(ValueError, match=r"min_item_interactions \(0\) must be at least 1"):
        interaction_filter(min_item_interactions=0)


def naive_core(
    pairs: list[tuple[int, int]], *, min_user: int, min_item: int
) -> list[tuple[int, int]]:
    while True:
        users, items = (Counter(codes) for codes in zip(*pairs, strict=True)) if pairs else ({}, {})
        left = [(u, i) for u, i in pairs if users[u] >= min_user and items[i] >= min_item]
        if left == pairs:
            return pairs
        pairs = left


PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60)


@given(PAIRS, st.integers(1, 5), st.integers(1, 5))
def test_k_core_is_the_naive_fixed_point(pairs: list[Pair], min_user: int, min_item: int) -> None:
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    kept = k_core(users, items, min_user=min_user, min_item=min_item)
    expected = naive_core(pairs, min_user=min_user, min_item=min_item)
    assert [pairs[position] for position in kept] == expected


@given(st.data(), PAIRS, st.booleans())
def test_order_of_the_rows_does_not_matter_where_times_differ(
    data: st.DataObject, pairs: list[Pair], keep_repeats: bool
) -> None:
    times = data.draw(st.permutations(range(len(pairs))))
    events = [(f"u{u}", "abcdefg"[i], time) for (u, i), time in zip(pairs, times, strict=True)]
    events += events_of("sure", "abc", [-3, -2, -1])
    shuffled = data.draw(st.permutations(events))
    first, second = (
        domain(rows, "gfedcba", keep_repeats=keep_repeats, min_item_interactions=1)
        for rows in (events, shuffled)
    )
    assert (first.user_keys, first.item_keys) == (second.user_keys, second.item_keys)
    for name in ("items", "offsets", "times"):
        np.testing.assert_equal(getattr(first, name), getattr(second, name))
    assert (first.steps, first.settings) == (second.steps, second.settings)
