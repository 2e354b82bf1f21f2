from __future__ import annotations

from math import log2

import pytest
import torch

from missrec.metrics.buckets import popularity_buckets
from missrec.metrics.ranking import TargetRanks

# Items 1..5 occur 0, 1, 4, 5 and 70 times in training; users' targets have ranks 3, 1, 2, 1, 9, 1.
TRAIN_COUNTS = torch.tensor([0, 0, 1, 4, 5, 70])
USERS = TargetRanks(
    user_ids=torch.arange(6),
    target_ids=torch.tensor([1, 2, 3, 4, 5, 5]),
    num_greater=torch.tensor([2, 0, 1, 0, 8, 0]),
    num_equal=torch.zeros(6, dtype=torch.int64),
)


def test_each_user_is_in_the_bucket_of_its_targets_count() -> None:
    cold, rare, common, popular = popularity_buckets(
        USERS, TRAIN_COUNTS, edges=[1, 5, 50], cutoffs=[2]
    )
    assert cold.metrics == {"recall@2": 0, "ndcg@2": 0, "mrr@2": 0}  # rank 3
    assert rare.metrics == pytest.approx(  # ranks 1 and 2
        {"recall@2": 1, "ndcg@2": (1 + 1 / log2(3)) / 2, "mrr@2": (1 + 1 / 2) / 2}
    )
    assert common.metrics == {"recall@2": 1, "ndcg@2": 1, "mrr@2": 1}  # rank 1
    assert popular.metrics == {"recall@2": 1 / 2, "ndcg@2": 1 / 2, "mrr@2": 1 / 2}  # ranks 9, 1
    assert [bucket.num_users for bucket in (cold, rare, common, popular)] == [1, 2, 1, 2]


def test_labels_name_the_counts() -> None:
    buckets = popularity_buckets(USERS, TRAIN_COUNTS, edges=[1, 5, 50], cutoffs=[1])
    assert [bucket.label for bucket in buckets] == ["0 (cold)", "1-4", "5-49", "50+"]


def test_bucket_without_users_has_no_metrics() -> None:
    buckets = popularity_buckets(USERS, TRAIN_COUNTS, edges=[1, 10, 50], cutoffs=[1])
    assert (buckets[2].num_users, buckets[2].metrics) == (0, {})


def test_without_edges_one_bucket_holds_everyone() -> None:
    (everyone,) = popularity_buckets(USERS, TRAIN_COUNTS, edges=[], cutoffs=[1])
    assert everyone.num_users == 6
    assert everyone.metrics["recall@1"] == 3 / 6


@pytest.mark.parametrize("edges", [[0, 5], [5, 5], [5, 1]])
def test_edges_that_do_not_rise_from_one_are_refused(edges: list[int]) -> None:
    with pytest.raises(ValueError, match=r"bucket edges \(\[\d, \d\]\) must be whole numbers"):
        popularity_buckets(USERS, TRAIN_COUNTS, edges=edges, cutoffs=[1])
