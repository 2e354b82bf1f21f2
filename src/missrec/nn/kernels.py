"""Which of torch's kernels for products of float32 a CPU computes fastest, and as exactly."""

from __future__ import annotations

import os
import time
from functools import cache

import torch

_GAIN = 1.2
"""Faster by less than this, other kernels are not taken: the clock errs."""
_ROWS = 1500
"""Of the products that are timed: the items of a batch."""
_MORE_ERROR = 4
"""Of kernels that add up float32 in another order."""
_SHAPES = (((512, 300), 300, 304), ((33, 257), 257, 65), ((8, 17, 75), 75, 9))
_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
_CACHED = "128"
"""Shapes for which the kernels of "medium" are kept. Each takes 0.7 MB, there are 1,024 by default,
and hardly two batches have as many items."""


@cache
def fastest_exact(width: int) -> str:
    """The precision whose products of float32 are as exact as those of "highest", and fastest.

    On some CPUs torch's "highest" means kernels that do not suit them, and "medium" others that are
    as exact and twice as fast, but are made anew for each number of rows, which narrow models do
    not get back. On CPUs with units for bfloat16 "medium" rounds to it. The name of a CPU does not
    tell, so both are tried, once in a process.

    Args:
        width: of the model, D.
    """
    for name in _CACHES:  # read at the first of these products
        os.environ.setdefault(name, _CACHED)
    before = torch.get_float32_matmul_precision()
    try:
        return "medium" if _is_exact("medium") and _gain("medium", width) > _GAIN else "highest"
    finally:
        torch.set_float32_matmul_precision(before)


def _is_exact(precision: str) -> bool:
    """Whether products err as those of "highest" do; in bfloat16 or TF32 it is a thousandfold."""
    generator = torch.Generator().manual_seed(0)
    for shape, width, columns in _SHAPES:
        left = torch.randn(shape, generator=generator)
        right = torch.randn(width, columns, generator=generator)
        exact = left.double() @ right.double()
        errors = {}
        for word in ("highest", precision):
            torch.set_float32_matmul_precision(word)
            errors[word] = float(((left @ right).double() - exact).abs().max())
        if errors[precision] > _MORE_ERROR * errors["highest"]:
            return False
    return True


def _gain(precision: str, width: int) -> float:
    """By how much products are faster than those of "highest", each with another number of rows.

    The least time of each counts: other work on the machine only ever adds.
    """
    repeats = 9
    rows, square = torch.ones(_ROWS + repeats, width), torch.ones(width, width)
    taken: dict[str, list[float]] = {"highest": [], precision: []}
    for more in range(repeats):
        for word, seconds in taken.items():
            torch.set_float32_matmul_precision(word)
            start = time.thread_time()
            rows[: _ROWS + more] @ square
            seconds.append(time.thread_time() - start)
    return min(taken["highest"]) / min(taken[precision])
