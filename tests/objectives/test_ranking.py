from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from missrec.objectives.ranking import (
    FullSoftmax,
    GeneralizedBCE,
    InBatchSoftmax,
    RankingObjective,
    next_item_loss,
)

NUM_ITEMS = 9
SPREADS = [1.0, 13.0]
"""Logits are in -spread..spread, as cosines at temperatures of 1 and 1/13 are."""


def loss_and_gradient(
    objective: RankingObjective, item_logits: Tensor, target_ids: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient by item_logits (B, N + 1), as a model calls the objective."""
    candidate_ids = objective.candidate_ids(target_ids, num_items=NUM_ITEMS)
    target_index = torch.searchsorted(candidate_ids, target_ids)
    loss = objective(item_logits[:, candidate_ids], target_index)
    return loss, torch.autograd.grad(loss, item_logits)[0]


def naive_in_batch(item_logits: Tensor, target_ids: Tensor) -> Tensor:
    """Eq. 5 as a double loop; j that repeat the positive of i are no negatives of it."""
    targets, losses = target_ids.tolist(), []
    for i, positive in enumerate(targets):
        total = torch.exp(item_logits[i, positive])
        for j, other in enumerate(targets):
            if j != i and other != positive:
                total = total + torch.exp(item_logits[i, other])
        losses.append(-torch.log(torch.exp(item_logits[i, positive]) / total))
    return torch.stack(losses).mean()


def naive_full(item_logits: Tensor, target_ids: Tensor, *, first_item: int) -> Tensor:
    """-log softmax (Eq. 9), over all items of the catalogue from the first one on."""
    losses = []
    for i, positive in enumerate(target_ids.tolist()):
        total = sum(torch.exp(item_logits[i, k]) for k in range(first_item, NUM_ITEMS + 1))
        losses.append(-torch.log(torch.exp(item_logits[i, positive]) / total))
    return torch.stack(losses).mean()


def random_logits(num_rows: int, *, spread: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(num_rows, NUM_ITEMS + 1, generator=generator, dtype=torch.float64)
    return (spread * (2 * logits - 1)).requires_grad_()


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("targets", [[3], [3, 1, 7], [5, 2, 5, 9, 2, 5], [4, 4, 4]])
def test_in_batch_softmax_is_equation_5(targets: list[int], spread: float) -> None:
    logits, target_ids = random_logits(len(targets), spread=spread), torch.tensor(targets)
    naive = naive_in_batch(logits, target_ids)
    loss, gradient = loss_and_gradient(InBatchSoftmax(), logits, target_ids)
    torch.testing.assert_close(loss, naive)
    torch.testing.assert_close(gradient, torch.autograd.grad(naive, logits)[0])


def test_in_batch_softmax_of_repeated_targets_by_hand() -> None:
    # Targets A, B, B. Row 1: positive e^0 = 1, and two negatives B of 2 each. Rows 2 and 3:
    # positive 2, and one negative A of 1; the other B is no negative.
    logits = torch.tensor([[0, math.log(2)]] * 3, dtype=torch.float64)
    loss = InBatchSoftmax()(logits, torch.tensor([0, 1, 1]))
    by_hand = -(math.log(1 / (1 + 2 + 2)) + 2 * math.log(2 / (2 + 1))) / 3
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


TWO_CANDIDATES = torch.tensor([[0.5, -1.0], [0.3, 0.2]], dtype=torch.float64)
TWO_OWN_NEGATIVES = torch.tensor([[2.0, 0.1], [-0.7, 1.5]], dtype=torch.float64)


@pytest.mark.parametrize("objective", [InBatchSoftmax(), FullSoftmax(padding_candidate=False)])
def test_negatives_of_a_row_alone_enter_its_sum(objective: RankingObjective) -> None:
    target_index = torch.tensor([1, 0])
    loss = objective(TWO_CANDIDATES, target_index, own_negatives=TWO_OWN_NEGATIVES)
    rows = torch.cat([TWO_CANDIDATES, TWO_OWN_NEGATIVES], dim=1).exp().tolist()
    by_hand = -(math.log(rows[0][1] / sum(rows[0])) + math.log(rows[1][0] / sum(rows[1]))) / 2
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


def test_negatives_of_a_row_alone_stand_beside_the_sampled_ones() -> None:
    objective = GeneralizedBCE(num_negatives=1, calibration=0.5)  # one other item: alpha is 1
    target_index = torch.tensor([1, 0])
    objective.candidate_ids(target_index + 1, num_items=2)
    loss = objective(TWO_CANDIDATES, target_index, own_negatives=TWO_OWN_NEGATIVES)
    signs = torch.tensor([[-1, 1, -1, -1], [1, -1, -1, -1]], dtype=torch.float64)
    signed = signs * torch.cat([TWO_CANDIDATES, TWO_OWN_NEGATIVES], dim=1)
    by_hand = -sum(math.log(1 / (1 + math.exp(-value))) for value in signed.flatten().tolist()) / 8
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(("padding_candidate", "first_item"), [(False, 1), (True, 0)])
def test_full_softmax_is_the_likelihood_of_equation_9(
    spread: float, first_item: int, *, padding_candidate: bool
) -> None:
    logits, target_ids = random_logits(4, spread=spread), torch.tensor([1, 9, 4, 4])
    naive = naive_full(logits, target_ids, first_item=first_item)
    objective = FullSoftmax(padding_candidate=padding_candidate)
    loss, gradient = loss_and_gradient(objective, logits, target_ids)
    torch.testing.assert_close(loss, naive)
    torch.testing.assert_close(gradient, torch.autograd.grad(naive, logits)[0])


def test_in_batch_candidates_are_the_distinct_targets() -> None:
    objective = InBatchSoftmax()
    candidate_ids = objective.candidate_ids(torch.tensor([7, 2, 7, 9]), num_items=NUM_ITEMS)
    assert candidate_ids.tolist() == [2, 7, 9]


@pytest.mark.parametrize(
    ("padding_candidate", "expected"), [(False, list(range(1, 10))), (True, list(range(10)))]
)
def test_full_softmax_candidates_are_all_items_and_the_padding_if_told(
    expected: list[int], *, padding_candidate: bool
) -> None:
    objective = FullSoftmax(padding_candidate=padding_candidate)
    candidate_ids = objective.candidate_ids(torch.tensor([7, 2, 7, 9]), num_items=NUM_ITEMS)
    assert candidate_ids.tolist() == expected


@pytest.mark.parametrize("objective", [InBatchSoftmax(), FullSoftmax(padding_candidate=False)])
def test_logits_that_overflow_exp_give_a_finite_loss(objective: RankingObjective) -> None:
    logits = torch.tensor([[1000.0, -1000.0], [1000.0, -1000.0]])
    loss = objective(logits, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((0 + (1000 + 1000)) / 2)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_generalized_bce_is_gsasrecs_loss_over_the_drawn_negatives(calibration: float) -> None:
    objective = GeneralizedBCE(num_negatives=4, calibration=calibration)
    target_ids = torch.tensor([3, 9, 1])
    logits = random_logits(3, spread=3.0)
    torch.manual_seed(5)
    loss, _ = loss_and_gradient(objective, logits, target_ids)
    torch.manual_seed(5)
    drawn = torch.randint(NUM_ITEMS - 1, (3, 4))
    alpha = 4 / (NUM_ITEMS - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    total = torch.zeros((), dtype=torch.float64)
    for row, target in enumerate(target_ids.tolist()):
        others = [item for item in range(1, NUM_ITEMS + 1) if item != target]
        total = total - (logits[row, target].sigmoid() ** beta).log()
        for number in drawn[row].tolist():
            total = total - (1 - logits[row, others[number]].sigmoid()).log()
    torch.testing.assert_close(loss, total / (3 * 5))


def test_without_calibration_generalized_bce_is_binary_cross_entropy() -> None:
    objective, target_ids = GeneralizedBCE(num_negatives=50, calibration=0.0), torch.tensor([2])
    logits = torch.full((1, NUM_ITEMS + 1), -1.5, dtype=torch.float64, requires_grad=True)
    loss, gradient = loss_and_gradient(objective, logits, target_ids)
    labels = torch.tensor([1.0, *[0.0] * 50], dtype=torch.float64)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.full_like(labels, -1.5), labels
    )
    torch.testing.assert_close(loss, expected)
    assert (gradient[0, 1:] != 0).all()  # every other item is drawn, and the target pulls
    assert gradient[0, 2] < 0


def test_generalized_bce_asks_for_the_scores_of_targets_and_negatives_alone() -> None:
    objective, target_ids = GeneralizedBCE(num_negatives=3, calibration=0.0), torch.tensor([2, 7])
    torch.manual_seed(0)
    candidate_ids = objective.candidate_ids(target_ids, num_items=1_000_000)
    assert len(candidate_ids) == 8
    assert set(target_ids.tolist()) < set(candidate_ids.tolist())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_negatives": 0, "calibration": 0.5}, r"num_negatives \(0\) must be at least 1"),
        ({"num_negatives": 1, "calibration": 1.5}, r"calibration \(1.5\) must be in \[0, 1\]"),
    ],
)
def test_generalized_bce_refuses_settings_outside_their_range(
    settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        GeneralizedBCE(**settings)  # type: ignore[arg-type]


class Scorer(nn.Module):
    """Inner products with a table of items."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(NUM_ITEMS + 1, 4)

    def candidates(self, item_ids: Tensor) -> Tensor:
        embeddings: Tensor = self.items(item_ids)
        return embeddings

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        return encoded @ candidates.T


@pytest.mark.parametrize("temperature", [None, 0.07])
@pytest.mark.parametrize("objective", [InBatchSoftmax(), FullSoftmax(padding_candidate=False)])
def test_the_next_item_s_loss_is_the_objective_s_of_the_model_s_scores(
    objective: RankingObjective, temperature: float | None
) -> None:
    torch.manual_seed(0)
    model, encoded, targets = Scorer(), torch.randn(3, 4), torch.tensor([5, 2, 5])
    found = next_item_loss(
        objective, model, encoded, targets, num_items=NUM_ITEMS, temperature=temperature
    )
    logits = (encoded @ model.items.weight.T) / (temperature or 1.0)
    expected, _ = loss_and_gradient(objective, logits, targets)
    torch.testing.assert_close(found, expected)
