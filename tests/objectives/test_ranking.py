from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from missrec.objectives.ranking import FullSoftmax, InBatchSoftmax, RankingObjective

NUM_ITEMS = 9
TEMPERATURES = [0.075, 1.0]


def loss_and_gradient(
    objective: RankingObjective, item_scores: Tensor, target_ids: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient by item_scores (B, N + 1), as a model calls the objective."""
    candidate_ids = objective.candidate_ids(target_ids, num_items=NUM_ITEMS)
    target_index = torch.searchsorted(candidate_ids, target_ids)
    loss = objective(item_scores[:, candidate_ids], target_index)
    return loss, torch.autograd.grad(loss, item_scores)[0]


def naive_in_batch(item_scores: Tensor, target_ids: Tensor, temperature: float) -> Tensor:
    """Eq. 5 as a double loop; j that repeat the positive of i are no negatives of it."""
    targets, losses = target_ids.tolist(), []
    for i, positive in enumerate(targets):
        total = torch.exp(item_scores[i, positive] / temperature)
        for j, other in enumerate(targets):
            if j != i and other != positive:
                total = total + torch.exp(item_scores[i, other] / temperature)
        losses.append(-torch.log(torch.exp(item_scores[i, positive] / temperature) / total))
    return torch.stack(losses).mean()


def naive_full(item_scores: Tensor, target_ids: Tensor, temperature: float) -> Tensor:
    """-log softmax (Eq. 9), over all items of the catalogue."""
    losses = []
    for i, positive in enumerate(target_ids.tolist()):
        total = sum(torch.exp(item_scores[i, k] / temperature) for k in range(1, NUM_ITEMS + 1))
        losses.append(-torch.log(torch.exp(item_scores[i, positive] / temperature) / total))
    return torch.stack(losses).mean()


def random_scores(num_rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(num_rows, NUM_ITEMS + 1, generator=generator, dtype=torch.float64)
    return (2 * scores - 1).requires_grad_()


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("targets", [[3], [3, 1, 7], [5, 2, 5, 9, 2, 5], [4, 4, 4]])
def test_in_batch_softmax_is_equation_5(targets: list[int], temperature: float) -> None:
    scores, target_ids = random_scores(len(targets)), torch.tensor(targets)
    naive = naive_in_batch(scores, target_ids, temperature)
    loss, gradient = loss_and_gradient(InBatchSoftmax(temperature=temperature), scores, target_ids)
    torch.testing.assert_close(loss, naive)
    torch.testing.assert_close(gradient, torch.autograd.grad(naive, scores)[0])


def test_in_batch_softmax_of_repeated_targets_by_hand() -> None:
    # Targets A, B, B. Row 1: positive e^0 = 1, and two negatives B of 2 each. Rows 2 and 3:
    # positive 2, and one negative A of 1; the other B is no negative.
    scores = torch.tensor([[0, math.log(2)]] * 3, dtype=torch.float64)
    loss = InBatchSoftmax(temperature=1.0)(scores, torch.tensor([0, 1, 1]))
    by_hand = -(math.log(1 / (1 + 2 + 2)) + 2 * math.log(2 / (2 + 1))) / 3
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_full_softmax_is_the_likelihood_of_equation_9(temperature: float) -> None:
    scores, target_ids = random_scores(4), torch.tensor([1, 9, 4, 4])
    naive = naive_full(scores, target_ids, temperature)
    loss, gradient = loss_and_gradient(FullSoftmax(temperature=temperature), scores, target_ids)
    torch.testing.assert_close(loss, naive)
    torch.testing.assert_close(gradient, torch.autograd.grad(naive, scores)[0])


def test_in_batch_candidates_are_the_distinct_targets() -> None:
    objective = InBatchSoftmax(temperature=1.0)
    candidate_ids = objective.candidate_ids(torch.tensor([7, 2, 7, 9]), num_items=NUM_ITEMS)
    assert candidate_ids.tolist() == [2, 7, 9]


def test_full_softmax_candidates_are_the_items_without_padding() -> None:
    objective = FullSoftmax(temperature=1.0)
    candidate_ids = objective.candidate_ids(torch.tensor([7, 2, 7, 9]), num_items=NUM_ITEMS)
    assert candidate_ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("objective", [InBatchSoftmax, FullSoftmax])
def test_scores_that_overflow_exp_give_a_finite_loss(
    objective: Callable[..., RankingObjective],
) -> None:
    scores = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    loss = objective(temperature=0.001)(scores, torch.tensor([0, 1]))  # e^1000 overflows
    assert loss.item() == pytest.approx((0 + 2 / 0.001) / 2)


@pytest.mark.parametrize("objective", [InBatchSoftmax, FullSoftmax])
@pytest.mark.parametrize("temperature", [-1.0, 0.0, math.nan])
def test_temperature_out_of_range_is_refused(
    objective: Callable[..., RankingObjective], temperature: float
) -> None:
    with pytest.raises(ValueError, match=rf"temperature \({temperature}\) must be above 0"):
        objective(temperature=temperature)
