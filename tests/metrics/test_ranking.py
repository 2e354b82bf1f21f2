from __future__ import annotations

from itertools import permutations
from math import fsum, isnan, log2
from statistics import mean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from missrec.metrics.ranking import (
    FullRanking,
    TargetRanks,
    count_ranks,
    per_user_metrics,
    ranking_metrics,
)

ZERO = torch.tensor([0])


def ranks_of(num_greater: Tensor, num_equal: Tensor) -> Tensor:
    users = torch.arange(len(num_greater))
    return TargetRanks(users, users, num_greater, num_equal).ranks


def random_scores(num_users: int, *, num_items: int = 20) -> tuple[Tensor, Tensor]:
    """Scores, whole numbers so that many are tied, and the column of each user's target."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 8, (num_users, num_items), generator=generator).float()
    return scores, torch.randint(0, num_items, (num_users,), generator=generator)


def count_all(scores: Tensor, target_index: Tensor) -> tuple[Tensor, Tensor]:
    """Over a whole catalogue: items above the target, and others tied with it."""
    greater, equal = count_ranks(scores, scores.gather(1, target_index[:, None]).squeeze(1))
    return greater, equal - 1


def random_users(num_users: int) -> TargetRanks:
    scores, target_index = random_scores(num_users)
    greater, equal = count_all(scores, target_index)
    return TargetRanks(torch.arange(num_users), target_index + 1, greater, equal)


def test_counts_items_above_and_tied_with_the_target() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.5], [3.0, 1.0, 2.0, 0.0]])
    greater, equal = count_all(scores, torch.tensor([2, 0]))
    assert greater.tolist() == [1, 0]  # 0.9 > 0.5; nothing above 3.0
    assert equal.tolist() == [1, 0]  # the other 0.5
    assert ranks_of(greater, equal).tolist() == [1 + 1 + 1 / 2, 1]


def test_constant_scorer_ranks_every_target_in_the_middle() -> None:
    greater, equal = count_all(torch.zeros(3, 101), torch.tensor([0, 50, 100]))
    ranks = ranks_of(greater, equal)
    assert ranks.tolist() == [(101 + 1) / 2] * 3
    metrics = ranking_metrics(greater, equal, cutoffs=[1, 50, 101])
    assert metrics["recall@1"] == pytest.approx(1 / 101, abs=1e-15)  # as often as any item
    assert metrics["recall@50"] == pytest.approx(50 / 101, abs=1e-15)
    assert metrics["recall@101"] == 1


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_rank_is_the_mean_over_all_orders_of_the_tied(scores: list[int]) -> None:
    places = [
        1 + sorted(order, key=lambda item: -scores[item]).index(0)
        for order in permutations(range(len(scores)))
    ]
    greater, equal = count_all(torch.tensor([scores]).float(), torch.tensor([0]))
    assert ranks_of(greater, equal).item() == pytest.approx(mean(places))


def test_infinite_scores_are_ranked_like_others() -> None:
    inf = float("inf")  # seen items are left out by a score of -inf
    scores = torch.tensor([[0.0, -inf, inf], [-inf, -inf, 1.0]])
    greater, equal = count_all(scores, torch.tensor([0, 0]))
    assert greater.tolist() == [1, 1]
    assert equal.tolist() == [0, 1]


@pytest.mark.parametrize("column", [0, 2])
def test_nan_scores_are_refused(column: int) -> None:
    scores = torch.zeros(2, 3)
    scores[1, column] = float("nan")
    with pytest.raises(ValueError, match="scores hold NaN; the model has diverged"):
        count_all(scores, torch.tensor([0, 0]))


def test_metrics_of_four_ranks_by_hand() -> None:
    above = torch.tensor([0, 1, 1.5, 3]).double()  # 1.5: an expected rank of a file without ties
    metrics = ranking_metrics(above, torch.zeros(4), cutoffs=[1, 2, 3])
    assert metrics == pytest.approx(
        {
            "recall@1": 1 / 4,
            "ndcg@1": 1 / 4,
            "mrr@1": 1 / 4,
            "recall@2": 2 / 4,
            "ndcg@2": (1 + 1 / log2(3)) / 4,
            "mrr@2": (1 + 1 / 2) / 4,
            "recall@3": 3 / 4,
            "ndcg@3": (1 + 1 / log2(3) + 1 / log2(3.5)) / 4,
            "mrr@3": (1 + 1 / 2 + 1 / 2.5) / 4,
        },
        abs=1e-12,
    )


def metrics_at(rank: int, k: int) -> dict[str, float]:
    """By their definition, of a target whose rank is certain."""
    hit = float(rank <= k)
    return {f"recall@{k}": hit, f"ndcg@{k}": hit / log2(rank + 1), f"mrr@{k}": hit / rank}


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(1, 7))
def test_metrics_are_their_mean_over_all_orders_of_the_tied(scores: list[int], k: int) -> None:
    orders = permutations(range(len(scores)))
    ranks = [1 + sorted(o, key=lambda item: -scores[item]).index(0) for o in orders]
    found = per_user_metrics(*count_all(torch.tensor([scores]).float(), ZERO), cutoffs=[k])
    for name in metrics_at(1, k):
        by_order = mean(metrics_at(rank, k)[name] for rank in ranks)
        assert found[name].item() == pytest.approx(by_order, abs=1e-12)


@pytest.mark.parametrize(
    ("num_greater", "num_equal", "k"),
    [(0, 0, 10), (9, 1, 10), (10, 5, 10), (3, 1_000, 10), (0, 100_000, 1_000), (70, 4_000, 5_000)],
)
def test_metrics_of_many_tied_are_the_mean_over_their_places(
    num_greater: int, num_equal: int, k: int
) -> None:
    counts = (torch.tensor([num_greater]), torch.tensor([num_equal]))
    found = per_user_metrics(*counts, cutoffs=[k, 2 * k])
    places = range(num_greater + 1, num_greater + num_equal + 2)
    for cutoff in (k, 2 * k):
        at = [metrics_at(place, cutoff) for place in places]
        for name in at[0]:
            by_place = fsum(metrics[name] for metrics in at) / len(at)
            assert found[name].item() == pytest.approx(by_place, abs=1e-12)


def test_metrics_of_ties_are_near_the_mean_over_drawn_orders() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randint(0, 3, (200, 30), generator=generator).double()
    targets = torch.randint(0, 30, (200,), generator=generator)
    found = ranking_metrics(*count_all(scores, targets), cutoffs=[10])
    drawn = [
        ranking_metrics(
            *count_all(scores + torch.rand(200, 30, generator=generator) / 2, targets), cutoffs=[10]
        )
        for _ in range(400)
    ]
    for name, value in found.items():
        assert value == pytest.approx(mean(metrics[name] for metrics in drawn), abs=0.004)


def test_two_levels_of_score_are_no_half_of_the_catalogue() -> None:
    # A tenth of 100 items scores 1 and the rest 0: at random among the ten, or among the ninety.
    greater, equal = torch.tensor([0, 10]), torch.tensor([9, 89])
    metrics = per_user_metrics(greater, equal, cutoffs=[10, 20])
    assert metrics["recall@10"].tolist() == [1, 0]  # at its expected rank 5.5, or 55
    assert metrics["recall@20"].tolist() == pytest.approx([1, 10 / 90], abs=1e-15)
    assert metrics["mrr@20"].tolist() == pytest.approx(
        [sum(1 / r for r in range(1, 11)) / 10, sum(1 / r for r in range(11, 21)) / 90], abs=1e-15
    )


def test_without_ties_nothing_changes_by_a_bit() -> None:
    ranks = torch.arange(1, 5_001).double()
    for num_tied in (0, 1):  # nor for the others where one ties
        equal = torch.zeros(5_000, dtype=torch.long)
        equal[:num_tied] = 3
        found = per_user_metrics((ranks - 1).long(), equal, cutoffs=[10, 1_000])
        for k in (10, 1_000):
            hit = (ranks <= k).double()
            expected = {
                f"recall@{k}": hit,
                f"ndcg@{k}": hit * (1 / torch.log2(ranks + 1)),
                f"mrr@{k}": hit * (1 / ranks),
            }
            for name, values in expected.items():
                assert torch.equal(found[name][num_tied:], values[num_tied:])


def test_metrics_of_no_user_are_nan() -> None:
    nobody = torch.zeros(0, dtype=torch.long)
    assert all(map(isnan, ranking_metrics(nobody, nobody, cutoffs=[10]).values()))


def test_ranks_are_exact_in_a_large_catalogue() -> None:
    # Above 2^24 single precision has no halves: it would round 2^24 + 2.5 down.
    ranks = ranks_of(torch.tensor([2**24 + 1]), torch.tensor([1]))
    assert ranks.dtype == torch.float64
    assert ranks.tolist() == [2**24 + 2.5]


def test_select_keeps_the_columns_together() -> None:
    users = TargetRanks(*torch.arange(12).reshape(4, 3))
    assert [column.tolist() for column in users.select(torch.tensor([2, 0]))] == [
        [2, 0],
        [5, 3],
        [8, 6],
        [11, 9],
    ]


def test_metric_equals_a_loop_over_users() -> None:
    scores, target_index = random_scores(50)
    ranking = FullRanking(cutoffs=[5])
    ranking.update(random_users(50))
    places = []  # of each user, all that its target may come to
    for row, target in zip(scores.tolist(), target_index.tolist(), strict=True):
        above = sum(score > row[target] for score in row)
        places.append([above + 1 + tied for tied in range(row.count(row[target]))])
    tied = [row.count(row[t]) > 1 for row, t in zip(scores.tolist(), target_index, strict=True)]
    assert ranking.compute() == pytest.approx(
        {
            "recall@5": mean(mean(rank <= 5 for rank in own) for own in places),
            "ndcg@5": mean(mean((rank <= 5) / log2(rank + 1) for rank in own) for own in places),
            "mrr@5": mean(mean((rank <= 5) / rank for rank in own) for own in places),
            "tie_rate": mean(tied),
        },
        abs=1e-12,
    )


@pytest.mark.parametrize("batch_size", [1, 7, 49])
def test_metric_does_not_depend_on_the_batches(batch_size: int) -> None:
    users = random_users(50)
    whole, split = FullRanking(cutoffs=[1, 10]), FullRanking(cutoffs=[1, 10])
    whole.update(users)
    for rows in torch.randperm(50).split(batch_size):
        split.update(users.select(rows))
    assert split.compute() == whole.compute()


def test_repeated_users_count_once() -> None:
    users = random_users(10)
    repeated = torch.tensor([3, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3])
    once, often = FullRanking(cutoffs=[5]), FullRanking(cutoffs=[5])
    once.update(users)
    often.update(users.select(repeated))
    assert often.compute() == once.compute()
    assert often.target_ranks().user_ids.tolist() == list(range(10))


def test_target_ranks_come_by_rising_user_with_their_own_target() -> None:
    ranking = FullRanking(cutoffs=[1])
    rows = torch.tensor([[8, 13, 2, 0], [4, 12, 1, 1]])
    ranking.update(TargetRanks(*rows.unbind(dim=1)))
    ranks = ranking.target_ranks()
    assert ranks.user_ids.tolist() == [4, 8]
    assert ranks.target_ids.tolist() == [12, 13]
    assert ranks.ranks.tolist() == [2.5, 3]


def test_reset_forgets_the_users_of_the_last_epoch() -> None:
    users = random_users(10)
    ranking = FullRanking(cutoffs=[5])
    ranking.update(users)
    ranking.reset()
    ranking.update(users.select(torch.tensor([0, 1])))
    assert ranking.target_ranks().user_ids.tolist() == [0, 1]


@pytest.mark.parametrize("cutoffs", [[], [0], [10, -1]])
def test_cutoffs_below_one_are_refused(cutoffs: list[int]) -> None:
    with pytest.raises(ValueError, match=r"cutoffs \(.*\) must name at least one k, each >= 1"):
        FullRanking(cutoffs=cutoffs)


def test_more_items_than_float32_counts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"16777216 items at a time; at most 16777215 count"):
        count_ranks(torch.zeros(1, 1).expand(1, 2**24), torch.zeros(1))
