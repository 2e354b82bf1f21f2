from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from missrec.objectives.orthogonality import orthogonality, released_orthogonality

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


def naive_released(encoded: Tensor, valid_mask: Tensor) -> Tensor:
    """Number by number, as the authors' code sums."""
    total = encoded.new_zeros(())
    num_rows, num_entries, width = encoded.shape
    for row in range(num_rows):
        share = sum(valid_mask[row].tolist()) / num_entries
        for column in range(width):
            entries = [encoded[row, entry, column] for entry in range(num_entries)]
            total = total + (sum(entries) * share) ** 2
    return total / width


def test_the_released_regularisation_equals_its_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    encoded = torch.randn(4, 4, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    valid_mask = torch.arange(4) < torch.tensor(LENGTHS)[:, None]
    found, naive = released_orthogonality(encoded, valid_mask), naive_released(encoded, valid_mask)
    torch.testing.assert_close(found, naive)
    torch.testing.assert_close(
        torch.autograd.grad(found, encoded), torch.autograd.grad(naive, encoded)
    )


def padded_interests(padding: list[list[float]]) -> tuple[Tensor, Tensor]:
    """Two orthogonal interests and the padding, which is encoded too, of one sequence."""
    encoded = torch.tensor([[[1.0, 0.0], [0.0, 1.0], *padding]])
    return encoded, (torch.arange(encoded.shape[1]) < 2)[None]


def test_the_released_regularisation_grows_with_padding_and_that_of_equation_7_does_not() -> None:
    alone, more = padded_interests([]), padded_interests([[1.0, 1.0]] * 2)
    # The sums are (1, 1) and (3, 3), of which 2/2 and 2/4 are real; D = 2.
    assert released_orthogonality(*alone).item() == (1**2 + 1**2) / 2
    assert released_orthogonality(*more).item() == ((3 / 2) ** 2 + (3 / 2) ** 2) / 2
    assert orthogonality(*alone).item() == pytest.approx((1 + 0 + 0 + 1) / 4)
    assert orthogonality(*more).item() == pytest.approx((1 + 0 + 0 + 1) / 4)


def test_the_released_regularisation_shrinks_with_padding_of_zeros() -> None:
    found = released_orthogonality(*padded_interests([[0.0, 0.0]] * 2))
    assert found.item() == ((1 / 2) ** 2 + (1 / 2) ** 2) / 2


def test_the_released_regularisation_grows_with_the_batch_and_that_of_equation_7_does_not() -> None:
    one = padded_interests([[1.0, 1.0]])
    three = tuple(value.repeat(3, *[1] * (value.ndim - 1)) for value in one)
    torch.testing.assert_close(released_orthogonality(*three), 3 * released_orthogonality(*one))
    torch.testing.assert_close(orthogonality(*three), orthogonality(*one))


def test_the_released_regularisation_of_a_batch_without_any_interest_is_zero() -> None:
    encoded = torch.ones(2, 3, 4, requires_grad=True)
    found = released_orthogonality(encoded, torch.zeros(2, 3, dtype=torch.bool))
    found.backward()
    assert found == 0
    assert encoded.grad is not None
    assert encoded.grad.eq(0).all()
