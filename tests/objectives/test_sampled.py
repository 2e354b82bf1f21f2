"""The sampled softmax estimates the full one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from missrec.objectives.ranking import FullSoftmax
from missrec.objectives.sampled import SampledSoftmax
from synthetic import catalogue

SEQUENCES = [[1, 2, 3], [2, 3, 3], [5, 3, 4, 1, 1]]
"""Held out are the last two of each, so 1, 2 and 5 3 4 are trained on, with the targets 3 and 4."""
NUM_ITEMS = 6


def sampled(**changes: Any) -> SampledSoftmax:
    settings = {"num_negatives": 4, "popularity": 0.0, "in_batch": True} | changes
    objective = SampledSoftmax(**settings)
    objective.learn_items(catalogue(SEQUENCES, features={}, num_items=NUM_ITEMS))
    return objective


def loss_of(objective: SampledSoftmax, item_logits: Tensor, targets: Tensor) -> Tensor:
    ids = objective.candidate_ids(targets, num_items=NUM_ITEMS)
    return objective(item_logits[:, ids], torch.searchsorted(ids, targets))


LOGITS = torch.tensor(
    [[0.0, 0.3, -1.0, 2.0, 0.4, -0.2, 1.1], [0.0, 1.3, 0.5, -0.7, 0.1, 0.9, -1.4]],
    dtype=torch.float64,
)


@pytest.mark.parametrize("popularity", [0.0, 0.5, 1.0])
def test_with_many_draws_it_is_the_full_softmax_value_and_gradient(popularity: float) -> None:
    torch.manual_seed(0)
    targets, logits = torch.tensor([3, 6]), LOGITS.clone().requires_grad_()
    objective = sampled(num_negatives=2_000_000, popularity=popularity, in_batch=False)
    full = FullSoftmax(padding_candidate=False)(logits[:, 1:], targets - 1)
    found = loss_of(objective, logits, targets)
    torch.testing.assert_close(found, full, rtol=3e-3, atol=3e-3)
    pair = (torch.autograd.grad(loss, logits)[0] for loss in (found, full))
    torch.testing.assert_close(*pair, rtol=0.02, atol=3e-3)


def test_the_sum_over_drawn_and_batch_items_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = sampled(num_negatives=3)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([0.1, 0.4, 0.45]).double())
    found = loss_of(objective, LOGITS, torch.tensor([3, 4]))
    # Drawn are 1, 3 and 3 of six; three draws expect each 3 / 6 times. The targets 3 and 4 have
    # half of the training targets each, and the batch has one other row, which expects 1/2.
    e = LOGITS.exp().tolist()
    first = e[0][3] + 1 / 0.5 * e[0][1] + 1 / (0.5 + 0.5) * e[0][4]
    second = e[1][4] + 1 / 0.5 * e[1][1] + 3 / (0.5 + 0.5) * e[1][3]
    by_hand = -(math.log(e[0][3] / first) + math.log(e[1][4] / second)) / 2
    assert found.item() == pytest.approx(by_hand)


def test_without_the_batch_targets_of_others_are_no_negatives_unless_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective = sampled(num_negatives=1, in_batch=False)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([0.99]).double())
    found = loss_of(objective, LOGITS, torch.tensor([3, 4]))
    e = LOGITS.exp().tolist()
    rows = (e[0][3] / (e[0][3] + 6 * e[0][6]), e[1][4] / (e[1][4] + 6 * e[1][6]))
    assert found.item() == pytest.approx(-sum(map(math.log, rows)) / 2)


def test_popularity_draws_by_training_counts_and_never_padding() -> None:
    torch.manual_seed(0)
    drawn = sampled(popularity=1.0, num_negatives=60_000)._draw(
        torch.device("cpu"), num_items=NUM_ITEMS
    )
    weights = torch.tensor([0, 2, 2, 2, 2, 2, 1.0])  # each item but 6 occurs once, plus one
    shares = drawn.bincount(minlength=NUM_ITEMS + 1) / len(drawn)
    torch.testing.assert_close(shares, weights / weights.sum(), rtol=0.05, atol=0)


def test_a_batch_of_one_without_draws_has_a_loss_of_zero() -> None:
    assert loss_of(sampled(num_negatives=0), LOGITS[:1], torch.tensor([3])).item() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_negatives": 0, "in_batch": False}, r"num_negatives \(0\) must be at least 1"),
        ({"num_negatives": -1}, r"num_negatives \(-1\) must be at least 1, or 0 with"),
        ({"popularity": 1.5}, r"popularity \(1.5\) must be in \[0, 1\]"),
    ],
)
def test_settings_outside_their_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampled(**changes)
