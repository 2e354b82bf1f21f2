"""Dropout whose random numbers do not dominate the CPU's training time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 256
_INT64_MIN = -(2**63)


class Dropout(nn.Module):
    """Zeroes entries with probability p and scales the others by 1 / (1 - p) in training.

    **Differs** from `torch.nn.Dropout` on a CPU: one random byte an entry, eight from each draw of
    the generator, which draws one at a time. p is rounded to a multiple of 1/256, and the scale
    goes with the rounded p, so the expectation stays exact.
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

    def forward(self, hidden: Tensor) -> Tensor:
        """The same shape."""
        if not self.training or self._dropped_levels == 0:
            return hidden
        if hidden.device.type != "cpu":
            return F.dropout(hidden, self._prob)
        draws = torch.empty(-(-hidden.numel() // 8), dtype=torch.int64).random_(_INT64_MIN, None)
        levels = draws.view(torch.uint8)[: hidden.numel()].view(hidden.shape)
        keep = (levels >= self._dropped_levels).to(hidden.dtype)
        return hidden * keep.mul_(_LEVELS / (_LEVELS - self._dropped_levels))
