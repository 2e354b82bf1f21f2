"""Linear maps whose products have as many columns as a CPU's kernels are made for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from missrec.nn.eager import eagerly_on_cpu

_LANES = 8
"""Float32 numbers of a vector register. A product of 300 columns runs at 0.7 of the rate of one of
304, because the last ones are computed by themselves: `bench/step.py --products`. The kernels of
"medium" precision do not mind."""


class Linear(nn.Linear):
    """`torch.nn.Linear`, computed by `linear`."""

    def forward(self, rows: Tensor) -> Tensor:
        """(..., out_features) from (..., in_features)."""
        return linear(rows, self.weight, self.bias)


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., N) rows (..., K) times the transposed weight (N, K), plus the bias (N,).

    On a CPU the products of both directions have a multiple of eight columns; those too many are
    left out of the result, whose rows therefore may not lie end to end in memory.
    """
    if not _has_odd_columns(rows, weight):
        return F.linear(rows, weight, bias)
    flat = rows.reshape(-1, rows.shape[-1])
    mapped: Tensor = _Linear.apply(flat, weight, bias)
    return mapped.view(*rows.shape[:-1], len(weight))


def _has_odd_columns(rows: Tensor, weight: Tensor) -> bool:
    """Whether a product of these, or one of its gradient, would be slow for its width."""
    return (
        eagerly_on_cpu(rows)
        and rows.dtype == weight.dtype == torch.float32
        and rows.ndim > 1
        and any(size > _LANES and size % _LANES for size in weight.shape)
        and not torch.is_autocast_enabled("cpu")
        and torch.get_float32_matmul_precision() == "highest"
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        num_columns = len(weight)
        too_many = -num_columns % _LANES
        right = F.pad(weight, (0, 0, 0, too_many)).T
        if bias is None:
            return torch.mm(rows, right)[:, :num_columns]
        return torch.addmm(F.pad(bias, (0, too_many)), rows, right)[:, :num_columns]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        of_rows = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            num_columns = weight.shape[1]
            right = F.pad(weight, (0, -num_columns % _LANES))
            of_rows = torch.mm(gradient, right)[:, :num_columns]
        if ctx.needs_input_grad[1]:
            # Both are too large to be copied for the few columns; the wider one suffers less.
            if len(weight) % _LANES == 0 or len(weight) > weight.shape[1]:
                of_weight = torch.mm(rows.T, gradient).T
            else:
                of_weight = torch.mm(gradient.T, rows)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(dim=0)
        return of_rows, of_weight, of_bias
