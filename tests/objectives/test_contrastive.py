from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from missrec.objectives.contrastive import SequenceContrast, ViewContrast

TEMPERATURE = 0.3


def views(num_sequences: int) -> tuple[Tensor, Tensor]:
    """u and u' (B, D) at unit length."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, num_sequences, 5, generator=generator, dtype=torch.float64)
    first, second = vectors / vectors.norm(dim=-1, keepdim=True)
    return first.requires_grad_(), second.requires_grad_()


def naive_contrast(sequences: Tensor, others: Tensor, *, include_self: bool) -> Tensor:
    """Eq. 6 as a double loop."""
    losses = []
    for i, sequence in enumerate(sequences):
        total = sequence.new_zeros(())
        for j in range(len(sequences)):
            total = total + torch.exp(sequence @ others[j] / TEMPERATURE)
            if j != i or include_self:
                total = total + torch.exp(sequence @ sequences[j] / TEMPERATURE)
        losses.append(-torch.log(torch.exp(sequence @ others[i] / TEMPERATURE) / total))
    return sum(losses, sequences.new_zeros(())) / len(sequences)


@pytest.mark.parametrize("num_sequences", [1, 2, 7])
@pytest.mark.parametrize("include_self", [False, True])
def test_equals_the_double_loop_of_equation_6(num_sequences: int, *, include_self: bool) -> None:
    inputs = views(num_sequences)
    loss = SequenceContrast(temperature=TEMPERATURE, include_self=include_self)(*inputs)
    naive = naive_contrast(*inputs, include_self=include_self)
    torch.testing.assert_close(loss, naive)
    torch.testing.assert_close(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(naive, inputs)
    )


@pytest.mark.parametrize(
    ("include_self", "by_hand"),
    # u = u' = (1, 0) and (0, 1) at temperature 1/2: e^2 for itself, 1 for each view of the other.
    [
        (False, -math.log(math.e**2 / (math.e**2 + 1 + 1))),
        (True, -math.log(math.e**2 / (2 * math.e**2 + 1 + 1))),
    ],
)
def test_two_orthogonal_sequences_by_hand(by_hand: float, *, include_self: bool) -> None:
    loss = SequenceContrast(temperature=0.5, include_self=include_self)(torch.eye(2), torch.eye(2))
    assert loss.item() == pytest.approx(by_hand)


def test_a_single_sequence_has_no_negatives_unless_it_is_its_own() -> None:
    first, second = views(1)
    alone = SequenceContrast(temperature=TEMPERATURE, include_self=False)(first, second)
    assert alone.item() == 0
    assert all(gradient.eq(0).all() for gradient in torch.autograd.grad(alone, (first, second)))
    as_printed = SequenceContrast(temperature=TEMPERATURE, include_self=True)(first, second)
    cosine = (first[0] @ second[0]).item()
    by_hand = math.log(1 + math.exp((1 - cosine) / TEMPERATURE))
    assert as_printed.item() == pytest.approx(by_hand)


def test_the_loss_is_small_for_equal_views_of_different_sequences_and_large_for_swapped() -> None:
    contrast = SequenceContrast(temperature=0.01, include_self=False)
    assert contrast(torch.eye(3), torch.eye(3)).item() == pytest.approx(0, abs=1e-6)
    swapped = contrast(torch.eye(3), torch.eye(3).roll(1, dims=0))
    assert swapped.item() == pytest.approx((1 - 0) / 0.01)  # e^100 overflows


@pytest.mark.parametrize("temperature", [-1.0, 0.0, math.nan])
@pytest.mark.parametrize("contrast", [partial(SequenceContrast, include_self=False), ViewContrast])
def test_temperature_out_of_range_is_refused(
    contrast: Callable[..., object], temperature: float
) -> None:
    with pytest.raises(ValueError, match=rf"temperature \({temperature}\) must be above 0"):
        contrast(temperature=temperature)


@pytest.mark.parametrize("num_sequences", [1, 2, 7])
def test_views_are_told_from_each_other_as_in_a_double_loop(num_sequences: int) -> None:
    inputs = sequences, others = views(num_sequences)
    losses = []
    for i, sequence in enumerate(sequences):
        total = sum(torch.exp(sequence @ other / TEMPERATURE) for other in others)
        losses.append(-torch.log(torch.exp(sequence @ others[i] / TEMPERATURE) / total))
    naive = sum(losses, sequences.new_zeros(())) / num_sequences
    loss = ViewContrast(temperature=TEMPERATURE)(*inputs)
    torch.testing.assert_close(loss, naive)
    torch.testing.assert_close(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(naive, inputs)
    )


def test_other_sequences_are_no_negatives_of_views() -> None:
    # e^2 for the own view, 1 for the other's; the equal other sequence takes no part.
    sequences, others = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.eye(2)
    loss = ViewContrast(temperature=0.5)(sequences[:1], others[:1])
    assert loss.item() == pytest.approx(0)
    by_hand = (math.log((math.e**2 + 1) / math.e**2) + math.log(math.e**2 + 1)) / 2
    assert ViewContrast(temperature=0.5)(sequences, others).item() == pytest.approx(by_hand)


def test_mixed_precision_rounds_no_product() -> None:
    sequences, others = (view.detach().float() for view in views(7))
    loss = SequenceContrast(temperature=TEMPERATURE, include_self=False)
    plain = loss(sequences, others)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(sequences, others), plain)
        assert loss(sequences.bfloat16(), others.bfloat16()).dtype == torch.float32
