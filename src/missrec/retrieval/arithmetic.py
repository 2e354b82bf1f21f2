"""The one arithmetic of final scores: float64, the same bits wherever a pair stands.

A library's sum or matrix product takes another order for another shape, and its exp another path
at the end of a tensor. What stands here is made of element-wise +, -, *, / and comparisons alone,
each of which IEEE 754 rounds in one way: a result depends on nothing but its own operands, neither
on shapes, places and threads, nor on the device. P pairs of a user and an item.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LOG2_E = 1 / math.log(2)
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
"""The first 33 bits of ln 2: a whole number of 11 bits times it is exact."""
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_SMALLEST_EXPONENT = -708.0
_TAYLOR = [1 / math.factorial(power) for power in range(14)]


def inner(users: Tensor, vectors: Tensor) -> Tensor:
    """(P,) float64 <u, x> of users (P, D) and vectors (P, D), both of float32 numbers.

    The products are exact; the second half of them is added to the first until one is left.
    """
    terms = vectors.to(torch.float64, copy=True).mul_(users)
    if terms.shape[1] == 0:
        return terms.new_zeros(len(terms))
    while (width := terms.shape[1]) > 1:
        half = (width + 1) // 2
        terms[:, : width - half] += terms[:, half:]
        terms = terms[:, :half]
    return terms[:, 0]


def fusion_weights(scores: Tensor, present: Tensor, alpha: Tensor) -> Tensor:
    """(M, P) float64 softmax over the modalities that are present; zeros without any.

    Args:
        scores: (M, P) float64.
        present: (M, P) bool.
        alpha: () or (P,), of any sign and also infinite.
    """
    if not len(scores):
        return scores
    alpha = alpha.double()
    signed = torch.where(alpha < 0, -scores, scores).masked_fill(~present, -math.inf)
    below = signed - signed.amax(dim=0)  # at most 0; NaN where nothing is present
    # Not 0 x infinity: at an infinite alpha the largest share all.
    votes = torch.where(below == 0, 0.0, alpha.abs() * below)
    weights = exp(votes.masked_fill(~present, -math.inf))
    total = weights[0]
    for other in weights[1:]:
        total = total + other
    return torch.where(total > 0, weights / total, 0.0)


def exp(exponents: Tensor) -> Tensor:
    """e^x of float64 x <= 0, to 1e-15 of its value; 0 below -708.

    x = k ln 2 + r; e^r by its series to the 13th power, whose rest is below 1e-17; 2^k by its bits.
    """
    small = exponents.clamp_min(_SMALLEST_EXPONENT)
    twos = (small * _LOG2_E).round()
    rest = (small - twos * _LN2_HIGH) - twos * _LN2_LOW
    series = torch.full_like(rest, _TAYLOR[-1])
    for coefficient in reversed(_TAYLOR[:-1]):
        series = series * rest + coefficient
    powers = ((twos.long() + 1023) << 52).view(torch.float64)
    return torch.where(exponents < _SMALLEST_EXPONENT, 0.0, series * powers)
