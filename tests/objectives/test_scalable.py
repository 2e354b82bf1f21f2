"""SCE: each history against the items of its buckets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.objectives.ranking import FullSoftmax, candidate_loss
from missrec.objectives.scalable import ScalableCrossEntropy

NUM_HISTORIES, NUM_ITEMS, WIDTH = 9, 14, 5
TARGETS = torch.tensor([3, 0, 13, 3, 7, 1, 2, 9, 3])


def vectors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    users = torch.randn(NUM_HISTORIES, WIDTH, generator=generator, dtype=torch.float64)
    items = torch.randn(NUM_ITEMS, WIDTH, generator=generator, dtype=torch.float64)
    return users.requires_grad_(), items.requires_grad_()


def score(users: Tensor, items: Tensor) -> Tensor:
    return users @ items.T


def loss_of(objective: Any, users: Tensor, items: Tensor, **changes: Any) -> Tensor:
    return candidate_loss(
        objective, score, users, items, TARGETS, num_candidates=NUM_ITEMS, **changes
    )


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_with_everything_in_each_bucket_it_is_the_full_softmax(temperature: float | None) -> None:
    users, items = vectors()
    own = torch.randn(NUM_HISTORIES, 2, dtype=torch.float64)
    everything = ScalableCrossEntropy(bucket_items=100, size=100)
    found, full = (
        loss_of(objective, users, items, temperature=temperature, own_negatives=own)
        for objective in (everything, FullSoftmax(padding_candidate=False))
    )
    torch.testing.assert_close(found, full)
    gradients = (torch.autograd.grad(loss, [users, items]) for loss in (found, full))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("seed", range(5))
def test_a_history_counts_once_with_the_largest_loss_of_its_buckets(seed: int) -> None:
    objective = ScalableCrossEntropy(bucket_items=4, size=1.0)
    users, items = vectors()
    torch.manual_seed(seed)
    found = loss_of(objective, users, items)
    torch.manual_seed(seed)
    histories, of_buckets = objective._buckets(score, users, items, num_candidates=NUM_ITEMS)
    assert histories.shape == (3, 3)
    assert of_buckets.shape == (3, 4)
    logits = score(users, items)
    by_history: dict[int, list[Tensor]] = {}
    for rows, columns in zip(histories.tolist(), of_buckets.tolist(), strict=True):
        for row in rows:
            target = int(TARGETS[row])
            others = [logits[row, column] for column in columns if column != target]
            with_target = torch.stack([logits[row, target], *others])
            by_history.setdefault(row, []).append(
                F.cross_entropy(with_target[None], torch.tensor([0]))
            )
    expected = torch.stack([torch.stack(losses).max() for losses in by_history.values()]).mean()
    torch.testing.assert_close(found, expected)


def test_buckets_hold_what_scores_highest_with_their_centers() -> None:
    users = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]])
    items = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 0.1]])
    objective = ScalableCrossEntropy(bucket_items=1, size=1.0)
    torch.manual_seed(0)
    histories, of_buckets = objective._buckets(score, users, items, num_candidates=3)
    for rows, (item,) in zip(histories.tolist(), of_buckets.tolist(), strict=True):
        assert set(rows) == ({0, 1} if item == 0 else {2, 3})


def test_a_single_history_and_a_single_item() -> None:
    objective = ScalableCrossEntropy(bucket_items=3, size=2.0)
    arguments = (score, torch.ones(1, 2), torch.ones(1, 2), torch.tensor([0]))
    assert candidate_loss(objective, *arguments, num_candidates=1).item() == 0


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match=r"bucket_items \(0\) must be at least 1"):
        ScalableCrossEntropy(bucket_items=0, size=1)
    with pytest.raises(ValueError, match=r"size \(0\) must be above 0"):
        ScalableCrossEntropy(bucket_items=1, size=0)
