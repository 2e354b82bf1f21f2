"""How far a float32 score may be from the exact one."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from missrec.types import ItemVectors

_UNIT = 2.0**-24
"""Largest relative rounding of a float32."""
_SLACK = 2.0
"""For the roundings of the margin itself, and terms of second order."""
_SMALLEST = 2.0**-126
"""Products below it may be lost."""


class Rounding(NamedTuple):
    """What the margin of a block of items depends on.

    A sum of n float32 products, in any order, is within g = n u / (1 - n u) of the exact one,
    times the sum of the absolute products, which is at most |u| |x| (Cauchy-Schwarz); u = 2^-24.

    The fused score F = sum p_m s_m, p = softmax(alpha s), moves by at most 1 + 2 ln M times the
    largest change of an s_m, whatever alpha is: dF/ds_m = p_m (1 + alpha (s_m - F)), and the sum
    of p_m |alpha (s_m - F)| is at most 2 sum p_m t_m with t_m = max(alpha s) - alpha s_m, where
    sum p_m t_m = entropy of p + ln(max p) <= ln M. The float32 votes alpha s_m and their softmax
    are rounded besides: each weight by a few u and by 2 u |alpha| S of itself, S = max |s_m|,
    which moves F by at most 2 S times that.

    Attributes:
        width: D.
        num_modalities: M.
        token: the longest token, times |modality_weight|.
        spread: the longest token, times the largest finite |alpha|.
        ids: the longest id.
        bias: the largest |bias|.
    """

    width: int
    num_modalities: int
    token: float
    spread: float
    ids: float
    bias: float

    @classmethod
    def of(cls, vectors: ItemVectors) -> Rounding:
        """Of a block of items."""
        num_modalities, _, width = vectors.tokens.shape
        if vectors.ids is not None:
            width = vectors.ids.shape[1]
        longest = _largest(vectors.tokens.norm(dim=-1))
        alpha = vectors.alpha.abs()
        return cls(
            width=width,
            num_modalities=num_modalities,
            token=longest * abs(vectors.modality_weight),
            spread=longest * _largest(alpha[alpha.isfinite()]),
            ids=0.0 if vectors.ids is None else _largest(vectors.ids.norm(dim=-1)),
            bias=0.0 if vectors.bias is None else _largest(vectors.bias.abs()),
        )

    def bound_margin(self, lengths: Tensor) -> Tensor:
        """(B,) float64, the most that a float32 product with a row of the bound may be too low.

        The row itself is rounded, then its product with the user, one term longer by the bias.

        Args:
            lengths: (B,) float64, |u|.
        """
        product = (self.width + 1) * _UNIT / (1 - (self.width + 1) * _UNIT)
        largest = lengths * (self.token + self.ids) + self.bias
        rows = (4 + self.num_modalities) * _UNIT * largest
        return _SLACK * (product * largest + rows + _SMALLEST * (self.width + 1))

    def margin(self, lengths: Tensor) -> Tensor:
        """(B,) float64, the most that a score of the block may be off for users of some lengths.

        Args:
            lengths: (B,) float64, |u|.
        """
        if not self.width:  # the bias alone is what it is
            return torch.zeros_like(lengths)
        product = self.width * _UNIT / (1 - self.width * _UNIT)
        token, ids = lengths * self.token, lengths * self.ids
        modalities = max(1, self.num_modalities)
        fused = token * product * (1 + 2 * math.log(modalities))
        if modalities > 1:
            fused = fused + 2 * token * _UNIT * (16 + 2 * lengths * self.spread)
        sums = 4 * _UNIT * (token + ids + self.bias)
        smallest = _SMALLEST * self.width * modalities * (lengths > 0)
        return _SLACK * (fused + ids * product + sums + smallest) * (lengths > 0)


def rounded_down(values: Tensor) -> Tensor:
    """The largest float32 that is not above each float64."""
    nearest = values.float()
    lower = torch.nextafter(nearest, torch.full_like(nearest, -math.inf))
    return torch.where(nearest.double() > values, lower, nearest)


def _largest(values: Tensor) -> float:
    return float(values.max()) if values.numel() else 0.0
