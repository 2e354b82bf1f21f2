from __future__ import annotations

import json
from math import log2, nan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from missrec.metrics import beyond_accuracy
from missrec.metrics.beyond_accuracy import (
    Features,
    ItemFacts,
    average_popularity,
    gini_index,
    intra_list_diversity,
    list_metrics,
    mean_inverse_user_frequency,
    serendipity,
    users_per_item,
)
from missrec.metrics.buckets import cold_recall
from missrec.metrics.ranking import TargetRanks

# The example of docs/beyond_accuracy.md: five items; users a, b and c get two of them each.
LISTS = np.array([[1, 2], [1, 3], [1, 4]])
TARGETS = np.array([2, 5, 4])
COUNTS = np.array([0, 4, 2, 2, 0, 1])
USER_COUNTS = np.array([0, 3, 2, 2, 0, 1])
NUM_USERS = 4
TEXT = Features(
    item_ids=np.array([1, 2, 3, 4]),
    values=np.array([[1, 0], [2, 0], [0, 3], [0, 0]], dtype=np.float16),
)
ITEMS = ItemFacts(COUNTS, USER_COUNTS, NUM_USERS, {"text": TEXT})

RECTOOLS = json.loads(Path(__file__).with_name("rectools_lists.json").read_text(encoding="utf-8"))
"""Cases and what RecTools says of them, by bench/rectools_lists.py."""


def arrays_of(case: dict[str, Any]) -> tuple[np.ndarray, ItemFacts]:
    """The lists and the facts of a case."""
    width = max(map(len, case["lists"]))
    lists = np.array([own + [0] * (width - len(own)) for own in case["lists"]])
    pairs = np.array(sorted(case["interactions"]))
    users, places = np.unique(pairs[:, 0], return_index=True)
    offsets = np.append(places, len(pairs))
    length = case["num_items"] + 1
    item_ids = np.array([int(item) for item in case["features"]], dtype=int)
    values = np.array(list(case["features"].values()), dtype=float).reshape(-1, 3)
    return lists, ItemFacts(
        counts=np.bincount(pairs[:, 1], minlength=length),
        user_counts=users_per_item(pairs[:, 1], offsets, num_items=length),
        num_users=len(users),
        features={"text": Features(item_ids, values)},
    )


@pytest.mark.parametrize("number", range(len(RECTOOLS["cases"])))
def test_random_lists_have_the_figures_of_rectools(number: int) -> None:
    assert RECTOOLS["rectools"] == "0.19.0"
    case = RECTOOLS["cases"][number]
    lists, items = arrays_of(case)
    targets = np.array(case["targets"])
    assert case["said"]
    for k, said in ((int(k), said) for k, said in case["said"].items()):
        best = lists[:, :k]
        novelty = {"user_counts": items.user_counts, "num_users": items.num_users}
        by_user = {
            "popularity": average_popularity(best, counts=items.counts),
            "novelty": mean_inverse_user_frequency(best, **novelty),
            "diversity": intra_list_diversity(best, features=items.features["text"]),
            "serendipity": serendipity(best, target_ids=targets, counts=items.counts),
        }
        found = list_metrics(lists, target_ids=targets, items=items, cutoffs=[k])
        assert found[f"coverage@{k}"] == pytest.approx(said["coverage"], rel=0, abs=1e-9)
        for name, values in by_user.items():
            known = {str(u): v for u, v in enumerate(values.tolist()) if not np.isnan(v)}
            assert known == pytest.approx(said[name]["by_user"], rel=0, abs=1e-9), (name, k)
            key = f"diversity_text@{k}" if name == "diversity" else f"{name}@{k}"
            mean = [found[key]] if key in found else []
            assert mean == pytest.approx(said[name]["mean"], rel=0, abs=1e-9), (name, k)


def test_the_cases_of_rectools_hold_what_is_rare() -> None:
    cases = RECTOOLS["cases"]
    lengths = [set(map(len, case["lists"])) for case in cases]
    assert any(0 in own for own in lengths)
    assert any(len(own) > 2 for own in lengths)
    had = [{item for _, item in case["interactions"]} for case in cases]
    unseen = [
        set(own) - seen for case, seen in zip(cases, had, strict=True) for own in case["lists"]
    ]
    assert any(unseen)
    assert any(not any(v) for case in cases for v in case["features"].values())
    assert any(len(case["features"]) < case["num_items"] for case in cases)
    assert any(len(case["lists"]) == 1 for case in cases)
    assert any(case["num_items"] == 1 for case in cases)
    said = [said for case in cases for said in case["said"].values()]
    assert any(one["diversity"]["mean"] == [] for one in said)
    assert sum(one["serendipity"]["mean"] > [0] for one in said) > 10


def test_the_example_of_the_docs_comes_out_as_it_is_computed_there() -> None:
    novelties = {1: log2(4 / 3), 2: 1.0, 3: 1.0, 4: 2.0}
    # Places p of five items: q(1) = 5/5, q(2) = 4/5. By count item 1 has rank 1, items 2 and 3
    # share 2, item 5 has 3, and item 4 none.
    expected = {
        "coverage@2": 4 / 5,
        # Times in the lists, rising: 0, 1, 1, 1, 3 of 6, weighed by -4, -2, 0, 2, 4.
        "gini@2": (-4 * 0 - 2 * 1 + 0 * 1 + 2 * 1 + 4 * 3) / 6 / 4,
        "popularity@2": ((4 + 2) / 2 + (4 + 2) / 2 + (4 + 0) / 2) / 3,
        "novelty@2": sum((novelties[1] + novelties[i]) / 2 for i in (2, 3, 4)) / 3,
        "diversity_text@2": (0 + 1) / 2,  # of a and b; item 4 has no features
        "serendipity@2": (0 + 0 + (4 / 5 - 0) / 2) / 3,  # a's hit is where popularity has it
    }
    assert list_metrics(LISTS, target_ids=TARGETS, items=ITEMS, cutoffs=[2]) == pytest.approx(
        expected, rel=1e-12
    )


def test_the_cold_of_the_example_are_those_who_took_items_four_and_five() -> None:
    users = TargetRanks(
        user_ids=torch.arange(3),
        target_ids=torch.from_numpy(TARGETS),
        num_greater=torch.tensor([1, 2, 1]),  # a's and c's item in place 2, b's in none
        num_equal=torch.zeros(3, dtype=torch.int64),
    )
    is_cold = torch.from_numpy(COUNTS)[users.target_ids] <= 1
    found = cold_recall(users, is_cold, name="cold_item", cutoffs=[1, 2])
    assert found == {
        "cold_item_users": 2,
        "cold_item_recall@1": 0,
        "cold_item_recall@2": 1 / 2,
    }
    nobody = cold_recall(users, is_cold & False, name="cold_user", cutoffs=[1, 2])
    assert nobody == {"cold_user_users": 0}


def test_a_cut_off_takes_the_first_of_each_list() -> None:
    found = list_metrics(LISTS, target_ids=TARGETS, items=ITEMS, cutoffs=[1, 2])
    alone = list_metrics(LISTS[:, :1], target_ids=TARGETS, items=ITEMS, cutoffs=[1])
    assert {name: found[name] for name in alone} == alone
    assert alone["coverage@1"] == 1 / 5
    assert alone["gini@1"] == 1
    assert alone["diversity_text@1"] == 0


def test_equal_shares_have_a_gini_of_0_whatever_their_order() -> None:
    assert gini_index(np.array([[3, 1], [2, 4]]), num_items=4) == 0
    assert gini_index(np.array([[1]]), num_items=1) == 0
    # Two of four items in every list: (-3 * 0 - 1 * 0 + 1 * 2 + 3 * 2) / 4 / 3
    assert gini_index(np.array([[1, 2], [2, 1]]), num_items=4) == pytest.approx(2 / 3)


def test_users_without_recommendations_are_left_out_and_short_lists_count_by_their_own_length() -> (
    None
):
    lists = np.array([[1, 2, 0], [0, 0, 0], [2, 0, 0]])
    assert average_popularity(lists, counts=COUNTS) == pytest.approx([3, nan, 2], nan_ok=True)
    novelty = mean_inverse_user_frequency(lists, user_counts=USER_COUNTS, num_users=NUM_USERS)
    assert novelty == pytest.approx([(log2(4 / 3) + 1) / 2, nan, 1], nan_ok=True)
    assert intra_list_diversity(lists, features=TEXT) == pytest.approx([0, nan, 0], nan_ok=True)
    hits = serendipity(lists, target_ids=np.array([5, 5, 2]), counts=COUNTS)
    assert hits == pytest.approx([0, nan, 1 - 4 / 5], nan_ok=True)  # place 1, rank 2, one item
    known = list_metrics(lists, target_ids=np.array([5, 5, 2]), items=ITEMS, cutoffs=[3])
    assert known["popularity@3"] == 2.5


def test_nobody_with_a_list_leaves_coverage_alone() -> None:
    nothing = list_metrics(
        np.zeros((2, 3), dtype=int), target_ids=TARGETS[:2], items=ITEMS, cutoffs=[3]
    )
    assert nothing == {"coverage@3": 0}
    nobody = np.zeros((0, 3), dtype=int)
    assert list_metrics(nobody, target_ids=TARGETS[:0], items=ITEMS, cutoffs=[3]) == nothing


def test_one_user_and_one_item_have_every_metric() -> None:
    one = ItemFacts(np.array([0, 2]), np.array([0, 1]), 1, {})
    found = list_metrics(np.array([[1]]), target_ids=np.array([1]), items=one, cutoffs=[5])
    expected = {"coverage": 1, "gini": 0, "popularity": 2, "novelty": 0, "serendipity": 0}
    assert found == {f"{name}@5": value for name, value in expected.items()}


def test_a_catalogue_of_ids_alone_has_no_diversity() -> None:
    found = list_metrics(LISTS, target_ids=TARGETS, items=ITEMS._replace(features={}), cutoffs=[2])
    assert not any(name.startswith("diversity") for name in found)


def test_an_item_nobody_had_is_as_new_as_one_that_one_user_had() -> None:
    found = mean_inverse_user_frequency(
        np.array([[4], [5]]), user_counts=USER_COUNTS, num_users=NUM_USERS
    )
    assert found.tolist() == [2, 2]


def test_diversity_is_the_mean_over_pairs_in_blocks_of_any_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((9, 4)).astype(np.float32)
    values[3] = 0  # a vector of length 0 says nothing
    features = Features(np.array([1, 2, 4, 5, 6, 7, 8, 10, 11]), values)
    lists = np.array([rng.permutation(np.arange(1, 13))[:6] for _ in range(7)])
    vectors = dict(zip(features.item_ids.tolist(), values.astype(float), strict=True))
    unit = {item: own / sqrt(float(own @ own)) for item, own in vectors.items() if own.any()}
    expected = []
    for own in lists:
        known = [unit[item] for item in own if item in unit]
        pairs = [1 - float(a @ b) for row, a in enumerate(known) for b in known[row + 1 :]]
        expected.append(sum(pairs) / len(pairs))
    for numbers in (1, 60, 2**22):
        monkeypatch.setattr(beyond_accuracy, "_NUMBERS_AT_ONCE", numbers)
        assert intra_list_diversity(lists, features=features) == pytest.approx(expected, abs=1e-12)


def test_each_user_of_an_item_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    items, offsets = np.array([1, 1, 2, 2, 2, 0, 1], dtype=np.int32), np.array([0, 3, 3, 5, 7])
    for sequences in (1, 2, 100):
        monkeypatch.setattr(beyond_accuracy, "_SEQUENCES_AT_ONCE", sequences)
        assert users_per_item(items, offsets, num_items=4).tolist() == [1, 2, 2, 0]
    assert users_per_item(items[:0], np.array([0]), num_items=2).tolist() == [0, 0]
