from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from missrec.objectives.mutual_information import mutual_information_loss

TAKES_PART = torch.tensor([[True, True, False], [False, True, False]])


def parts() -> list[Tensor]:
    """x, y and ỹ (B, L, D)."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 2, 3, 4, generator=generator, dtype=torch.float64)
    return [part.requires_grad_() for part in values]


def naive_info_nce(anchors: Tensor, partners: Tensor, others: Tensor) -> Tensor:
    """InfoNCE with one negative, place by place."""
    total = anchors.new_zeros(())
    for row in range(2):
        for place in range(3):
            if TAKES_PART[row, place]:
                x = anchors[row, place]
                of_partner = 1 / (1 + torch.exp(-(x @ partners[row, place])))
                of_other = 1 / (1 + torch.exp(-(x @ others[row, place])))
                exponentials = torch.exp(of_partner) + torch.exp(of_other)
                total = total - torch.log(torch.exp(of_partner) / exponentials)
    return total / 2


def test_equals_info_nce_with_one_negative_place_by_place() -> None:
    inputs = parts()
    found, naive = mutual_information_loss(*inputs, TAKES_PART), naive_info_nce(*inputs)
    torch.testing.assert_close(found, naive)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs), torch.autograd.grad(naive, inputs)
    )


@pytest.mark.parametrize(
    ("partner", "other", "by_hand"),
    [
        (0.0, 0.0, math.log(2)),
        (math.log(3), 0.0, math.log(1 + math.exp(-(3 / 4 - 1 / 2)))),
        (0.0, math.log(3), math.log(1 + math.exp(3 / 4 - 1 / 2))),
        (100.0, -100.0, math.log(1 + math.exp(-1))),  # f is bounded, so the loss is
    ],
)
def test_one_place_by_hand(partner: float, other: float, by_hand: float) -> None:
    x, y, other_y = (torch.tensor([[value]]) for value in (1.0, partner, other))
    loss = mutual_information_loss(x, y, other_y, torch.tensor([True]))
    assert loss.item() == pytest.approx(by_hand)


def test_without_any_place_the_loss_and_its_gradient_are_zero() -> None:
    inputs = parts()
    loss = mutual_information_loss(*inputs, torch.zeros(2, 3, dtype=torch.bool))
    assert loss == 0
    assert all(gradient.eq(0).all() for gradient in torch.autograd.grad(loss, inputs))
