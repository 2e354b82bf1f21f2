from __future__ import annotations

import math

import pytest
import torch

from missrec.nn.dropout import Dropout

PROBS = [0.004, 0.1, 0.25, 0.5, 0.9, 0.999]
"""The first and the last are rounded to 1/256 and 255/256."""


def rounded(prob: float) -> float:
    return min(round(prob * 256), 255) / 256


@pytest.mark.parametrize("prob", PROBS)
def test_entries_are_dropped_at_the_rate_or_scaled_by_its_inverse(prob: float) -> None:
    torch.manual_seed(0)
    num_entries = 200_003  # no multiple of the eight entries of a draw
    dropped = Dropout(prob)(torch.full((num_entries,), 3.0))
    rate = rounded(prob)
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 3 / (1 - rate)))
    deviation = math.sqrt(rate * (1 - rate) / num_entries)
    assert 1 - len(kept) / num_entries == pytest.approx(rate, abs=5 * deviation)


@pytest.mark.parametrize("prob", PROBS)
def test_expectation_is_the_input(prob: float) -> None:
    torch.manual_seed(1)
    rate, num_entries = rounded(prob), 200_003
    mean = Dropout(prob)(torch.ones(num_entries)).mean().item()
    assert mean == pytest.approx(1, abs=5 * math.sqrt(rate / (1 - rate) / num_entries))


def test_entries_are_dropped_independently() -> None:
    torch.manual_seed(2)
    is_kept = Dropout(0.5)(torch.ones(100_000, 8)).ne(0).double()
    correlation = torch.corrcoef(is_kept.T) - torch.eye(8)  # the eight entries of a draw
    assert correlation.abs().max() < 5 / math.sqrt(100_000)


def test_every_call_draws_again_and_the_seed_decides() -> None:
    dropout, hidden = Dropout(0.5), torch.ones(3, 7)
    torch.manual_seed(3)
    first, second = dropout(hidden), dropout(hidden)
    torch.manual_seed(3)
    assert not first.equal(second)
    assert dropout(hidden).equal(first)


def test_gradient_is_mask_times_scale() -> None:
    torch.manual_seed(4)
    hidden = torch.randn(5, 9, requires_grad=True)
    dropped = Dropout(0.25)(hidden)
    dropped.sum().backward()
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, dropped.ne(0) / (1 - 0.25))


def test_a_transposed_input_keeps_its_entries_in_place() -> None:
    torch.manual_seed(5)
    hidden = torch.randn(6, 4).T
    dropped = Dropout(0.5)(hidden)
    assert torch.isin(dropped / hidden, torch.tensor([0.0, 2.0])).all()


@pytest.mark.parametrize("prob", [0.0, 0.5])
def test_evaluation_is_the_identity(prob: float) -> None:
    hidden = torch.randn(4, 3)
    assert Dropout(prob).eval()(hidden).equal(hidden)


def test_zero_probability_is_the_identity_in_training() -> None:
    hidden = torch.randn(4, 3)
    assert Dropout(0.0)(hidden).equal(hidden)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_type_of_the_input_is_kept(dtype: torch.dtype) -> None:
    dropped = Dropout(0.5)(torch.ones(1000, dtype=dtype))
    assert dropped.dtype == dtype
    assert set(dropped.tolist()) == {0, 2}


@pytest.mark.parametrize("prob", [-0.1, 1.0, math.nan])
def test_probability_out_of_range_is_refused(prob: float) -> None:
    with pytest.raises(ValueError, match=rf"dropout_prob \({prob}\) must be in \[0, 1\)"):
        Dropout(prob)


def test_what_is_dropped_is_kept_as_bytes_and_does_not_depend_on_the_rows_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropout, residual = Dropout(0.25), torch.randn(7, 3)
    found = []
    for values_at_once in (1, 6, 1 << 17):
        monkeypatch.setattr("missrec.nn.dropout._VALUES_AT_ONCE", values_at_once)
        torch.manual_seed(5)
        hidden, kept = torch.randn(7, 3, requires_grad=True), []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, kept=kept: kept.append(tensor) or tensor, lambda tensor: tensor
        ):
            dropped = dropout.onto(residual, hidden)
        dropped.sum().backward()
        assert [tensor.dtype for tensor in kept] == [torch.uint8]
        assert hidden.grad is not None
        found.append((dropped.detach(), hidden.grad))
    for dropped, gradient in found[1:]:
        assert dropped.equal(found[0][0])
        assert gradient.equal(found[0][1])
