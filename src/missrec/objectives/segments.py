"""Random segments of sequences: what is hidden, and what stands in its place elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_segments(valid_mask: Tensor) -> Tensor:
    """(B, L) bool, True = in the segment: neighbouring items, at most half of a sequence.

    Length and start are uniform; a sequence of one item has no segment.

    Args:
        valid_mask: (B, L) bool, True = real item; right-padded.
    """
    lengths = valid_mask.sum(dim=1)
    halves = lengths // 2
    sizes = (1 + _draw_below(halves)).clamp_max(halves)
    starts = _draw_below(lengths - sizes + 1)
    steps = torch.arange(valid_mask.shape[1], device=valid_mask.device)
    return (steps >= starts[:, None]) & (steps < (starts + sizes)[:, None])


def draw_replacements(item_ids: Tensor, segments: Tensor) -> Tensor:
    """(B, L) item ids for each segment: as many neighbours from the batch, laid end to end.

    Outside the segments they mean nothing.

    Args:
        item_ids: (B, L) int64, right-padded.
        segments: (B, L) bool from `draw_segments`.
    """
    batch_items = item_ids[item_ids > 0]
    starts = _draw_below(len(batch_items) - segments.sum(dim=1) + 1)
    steps = (segments.cumsum(dim=1) - 1).clamp_min(0)  # of the segment, from 0
    return batch_items[(starts[:, None] + steps).clamp_max(len(batch_items) - 1)]


def _draw_below(bounds: Tensor) -> Tensor:
    """(B,) int64, uniform in 0..bound - 1; 0 where the bound is 0."""
    return (torch.rand(bounds.shape, device=bounds.device) * bounds).long()
