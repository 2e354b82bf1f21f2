"""Padded sequences as the rows of their entries, so that nothing is computed of padding."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from missrec.nn.eager import eagerly_on_cpu
from missrec.nn.pooling import last_places
from missrec.nn.precision import repeated, single


def spread_rows(values: Tensor, index: Tensor, num_rows: int) -> Tensor:
    """(num_rows, ...) zeros with `values` (P, ...) in the rows `index` (P,), each there once."""
    return values.new_zeros(num_rows, *values.shape[1:]).index_copy_(0, index, values)


class Rows(NamedTuple):
    """Which entries of padded sequences (B, S) are rows, T of them, sequence after sequence.

    Attributes:
        mask: (B, S) bool, True = takes part in attention. A sequence without a valid entry takes
            part with all its padding, since a softmax over nothing would be NaN.
        places: (T,) int64, the entries of the B x S that are rows; None where all are.
    """

    mask: Tensor
    places: Tensor | None

    @classmethod
    def of(cls, valid_mask: Tensor, *, with_padding: bool = False) -> Rows:
        """The rows of sequences.

        On a GPU padding costs less than to find out where it is.

        Args:
            valid_mask: (B, S) bool, True = real entry.
            with_padding: rows for the padding too, whose values somebody reads.
        """
        mask = valid_mask | ~valid_mask.any(dim=1, keepdim=True)
        if with_padding or not eagerly_on_cpu(mask) or mask.all():
            return cls(mask, None)
        return cls(mask, mask.flatten().nonzero().squeeze(1))

    @classmethod
    def last_of(cls, valid_mask: Tensor) -> Rows:
        """The last valid entry of each of B right-padded sequences as their row.

        Args:
            valid_mask: (B, S) bool, True = real entry.
        """
        whole = cls.of(valid_mask, with_padding=True)
        num_sequences, length = valid_mask.shape
        starts = length * torch.arange(num_sequences, device=valid_mask.device)
        return whole._replace(places=starts + last_places(valid_mask))

    def take(self, padded: Tensor) -> Tensor:
        """(T, D) the rows of (B, S, D)."""
        entries = padded.flatten(0, 1)
        if self.places is None:
            return entries
        if not eagerly_on_cpu(padded):
            return repeated(entries, self.places)
        taken: Tensor = _Taken.apply(single(entries), self.places)
        return taken

    def spread(self, rows: Tensor) -> Tensor:
        """(B, S, D) the rows (T, D) in their places, zeros in the others."""
        if self.places is None:
            return rows.view(*self.mask.shape, rows.shape[-1])
        spread_on = _Spread.apply if eagerly_on_cpu(rows) else spread_rows
        spread: Tensor = spread_on(rows, self.places, self.mask.numel())
        return spread.view(*self.mask.shape, -1)


class _Taken(torch.autograd.Function):
    """Entries (S, D) at distinct places (T,); no place has gradients to add up."""

    @staticmethod
    def forward(ctx: Any, entries: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.num_entries = len(entries)
        return entries.index_select(0, places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return spread_rows(gradient, places, ctx.num_entries), None


class _Spread(torch.autograd.Function):
    """Rows (T, D) at distinct places of S entries; torch's own keeps the rows for the backward."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, num_entries: int) -> Tensor:
        ctx.save_for_backward(places)
        return spread_rows(rows, places, num_entries)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None
