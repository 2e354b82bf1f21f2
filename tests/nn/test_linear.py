"""Products of as many columns as a kernel likes are those of torch, forward and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.linear import Linear, linear

ODD, EVEN = 13, 16


def variables(num_inputs: int, num_outputs: int, shape: tuple[int, ...]) -> list[Tensor]:
    """Rows (shape, K), weight (N, K), bias (N,)."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(*shape, num_inputs), (num_outputs, num_inputs), (num_outputs,)]
    return [torch.randn(size, generator=generator, requires_grad=True) for size in shapes]


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (0,), (1,)])
@pytest.mark.parametrize("num_outputs", [3, ODD, EVEN, 21])
@pytest.mark.parametrize("num_inputs", [3, ODD, EVEN, 21])
def test_equals_torch_forward_and_backward(
    num_inputs: int, num_outputs: int, shape: tuple[int, ...], has_bias: bool
) -> None:
    rows, weight, bias = variables(num_inputs, num_outputs, shape)
    used = (rows, weight, bias) if has_bias else (rows, weight)
    mapped, expected = linear(*used), F.linear(*used)
    torch.testing.assert_close(mapped, expected)
    scale = torch.arange(num_outputs) + 1.0
    torch.testing.assert_close(
        torch.autograd.grad((mapped * scale).sum(), used),
        torch.autograd.grad((expected * scale).sum(), used),
    )


def test_only_what_needs_a_gradient_gets_one() -> None:
    rows, weight, bias = variables(ODD, ODD, (5,))
    linear(rows.detach(), weight, bias.detach()).sum().backward()
    assert weight.grad is not None
    assert rows.grad is None
    assert bias.grad is None


def test_the_module_is_torchs_in_state_and_result() -> None:
    torch.manual_seed(0)
    ours, theirs = Linear(ODD, ODD), nn.Linear(ODD, ODD)
    ours.load_state_dict(theirs.state_dict())
    rows = torch.randn(4, ODD)
    torch.testing.assert_close(ours(rows), theirs(rows))


def test_autocast_computes_in_its_own_precision() -> None:
    rows, weight, bias = variables(ODD, ODD, (5,))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(rows, weight, bias).dtype == torch.bfloat16


def test_other_precisions_are_kept() -> None:
    rows, weight, bias = (each.double() for each in variables(ODD, ODD, (5,)))
    torch.testing.assert_close(linear(rows, weight, bias), F.linear(rows, weight, bias))


def test_a_graph_for_any_number_of_rows_holds_torchs_own_product() -> None:
    module = Linear(ODD, ODD)
    program = torch.export.export(module, (torch.randn(4, ODD),))
    assert "aten.linear" in program.graph_module.code
