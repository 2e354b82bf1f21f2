"""Dropout whose random numbers do not dominate the CPU's training time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from missrec.nn.rows import Rows

_LEVELS = 256
_INT64_MIN = -(2**63)
_VALUES_AT_ONCE = 1 << 17
"""Of ones and zeros that exist together: half a megabyte of float32."""


class Dropout(nn.Module):
    """Zeroes entries with probability p and scales the others by 1 / (1 - p) in training.

    **Differs** from `torch.nn.Dropout` on a CPU: one random byte an entry, eight from each draw of
    the generator, which draws one at a time. p is rounded to a multiple of 1/256, and the scale
    goes with the rounded p, so the expectation stays exact. Of padded sequences all entries are
    drawn, also where only some are computed: what a seed drops does not depend on what is left out.
    """

    def __init__(self, prob: float) -> None:
        """Dropout with probability `prob`.

        Args:
            prob: in [0, 1).

        Raises:
            ValueError: prob is outside [0, 1).
        """
        super().__init__()
        if not 0 <= prob < 1:
            raise ValueError(f"dropout_prob ({prob}) must be in [0, 1)")
        self._prob = prob
        self._dropped_levels = min(round(prob * _LEVELS), _LEVELS - 1)

    def forward(self, hidden: Tensor, *, rows: Rows | None = None) -> Tensor:
        """The same shape.

        Args:
            hidden: (T, ...) rows of padded sequences, or any tensor.
            rows: which entries of the sequences they are; None of what is whole.
        """
        if not self._drops:
            return hidden
        if hidden.device.type != "cpu":
            return F.dropout(hidden, self._prob)
        dropped: Tensor = _Dropped.apply(
            None, hidden, self._draw(hidden, rows), self._dropped_levels
        )
        return dropped

    def onto(self, residual: Tensor, hidden: Tensor, *, rows: Rows | None = None) -> Tensor:
        """What `forward` makes of `hidden`, added to a residual of the same shape."""
        if not self._drops or hidden.device.type != "cpu":
            added: Tensor = residual + self(hidden, rows=rows)
            return added
        levels = self._draw(hidden, rows)
        dropped: Tensor = _Dropped.apply(residual, hidden, levels, self._dropped_levels)
        return dropped

    @property
    def _drops(self) -> bool:
        return self.training and self._dropped_levels > 0

    def _draw(self, hidden: Tensor, rows: Rows | None) -> Tensor:
        """Random bytes as `hidden`; where they are at least the dropped levels, it stays."""
        shape = hidden.shape if rows is None else (rows.mask.numel(), *hidden.shape[1:])
        count = math.prod(shape)
        draws = torch.empty(-(-count // 8), dtype=torch.int64).random_(_INT64_MIN, None)
        levels = draws.view(torch.uint8)[:count].view(shape)
        if rows is not None and rows.places is not None:
            levels = levels.index_select(0, rows.places)
        return levels


class _Dropped(torch.autograd.Function):
    """residual + scale x hidden x (levels >= num_dropped), in one pass.

    The bytes are kept for the backward, a quarter of what ones and zeros would take; those are
    made anew of a few rows at a time, which stay in the cache.
    """

    @staticmethod
    def forward(
        ctx: Any, residual: Tensor | None, hidden: Tensor, levels: Tensor, num_dropped: int
    ) -> Tensor:
        ctx.save_for_backward(levels)
        ctx.num_dropped = num_dropped
        return _dropped(residual, hidden, levels, num_dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (levels,) = ctx.saved_tensors
        of_hidden = _dropped(None, gradient, levels, ctx.num_dropped)
        return gradient if ctx.needs_input_grad[0] else None, of_hidden, None, None


def _dropped(residual: Tensor | None, hidden: Tensor, levels: Tensor, num_dropped: int) -> Tensor:
    scale = _LEVELS / (_LEVELS - num_dropped)
    at_once = max(1, _VALUES_AT_ONCE * len(hidden) // max(1, hidden.numel()))
    zero = hidden.new_zeros(())
    dropped = torch.empty(hidden.shape, dtype=hidden.dtype)
    keep = torch.empty((min(at_once, len(hidden)), *hidden.shape[1:]), dtype=hidden.dtype)
    for start in range(0, len(hidden), at_once):
        part = slice(start, start + at_once)
        kept = torch.ge(levels[part], num_dropped, out=keep[: len(levels[part])])
        base = zero if residual is None else residual[part]
        torch.addcmul(base, hidden[part], kept, value=scale, out=dropped[part])
    return dropped
