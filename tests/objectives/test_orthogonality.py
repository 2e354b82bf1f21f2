from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from missrec.objectives.orthogonality import orthogonality

LENGTHS = (4, 1, 3, 0)


def naive_orthogonality(decoded: Tensor, valid_mask: Tensor) -> Tensor:
    """The last term of Eq. 7: the double sum over the interests of each sequence."""
    total = decoded.new_zeros(())
    for row, is_valid in zip(decoded, valid_mask, strict=True):
        interests = [xi / xi.norm() for xi in row[is_valid]]
        for one in interests:
            for other in interests:
                total = total + one @ other / len(interests) ** 2
    return total / len(decoded)


def test_equals_the_double_sum_of_equation_7() -> None:
    generator = torch.Generator().manual_seed(0)
    decoded = torch.randn(4, 4, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    valid_mask = torch.arange(4) < torch.tensor(LENGTHS)[:, None]
    found, naive = orthogonality(decoded, valid_mask), naive_orthogonality(decoded, valid_mask)
    torch.testing.assert_close(found, naive)
    torch.testing.assert_close(
        torch.autograd.grad(found, decoded), torch.autograd.grad(naive, decoded)
    )


@pytest.mark.parametrize(
    ("interests", "by_hand"),
    [
        ([[2.0, 0.0], [5.0, 0.0]], (1 + 1 + 1 + 1) / 4),
        ([[2.0, 0.0], [0.0, 3.0]], (1 + 0 + 0 + 1) / 4),
        ([[2.0, 0.0], [-3.0, 0.0]], (1 - 1 - 1 + 1) / 4),
        ([[2.0, 0.0], [1.0, 1.0]], (1 + 2 / math.sqrt(2) + 1) / 4),
    ],
)
def test_two_interests_by_hand(interests: list[list[float]], by_hand: float) -> None:
    found = orthogonality(torch.tensor([interests]), torch.ones(1, 2, dtype=torch.bool))
    assert found.item() == pytest.approx(by_hand)


def test_a_batch_without_any_interest_gives_zero_and_a_finite_gradient() -> None:
    decoded = torch.zeros(2, 3, 4, requires_grad=True)
    found = orthogonality(decoded, torch.zeros(2, 3, dtype=torch.bool))
    found.backward()
    assert found == 0
    assert decoded.grad is not None
    assert decoded.grad.eq(0).all()
