"""What stays in single precision when a trainer computes in a narrower one, and how it is fast."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from statistics import median
from threading import Lock

import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.nn.linear import linear

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


def choose_kernels(width: int | None) -> None:
    """From now on "highest" stands for the faster of torch's kernels that are as exact.

    On some CPUs torch's "highest" means kernels that do not suit them, and "medium" others that are
    as exact and twice as fast, but are made anew for each number of rows, which narrow models do
    not get back. On CPUs with units for bfloat16 "medium" rounds to it. The name of a CPU does not
    tell, so both are tried, once in a process. On GPUs the words mean what they say.

    Args:
        width: of the model, D; None, or one that no model can have: nothing is chosen.
    """
    if not isinstance(width, int) or width < 1 or torch.cuda.is_available():
        _FullPrecision.word = "highest"
    else:
        _FullPrecision.word = _fastest(width)


def matmul_precision(precision: str) -> str:
    """The `torch.set_float32_matmul_precision` for products as exact as `precision`.

    Args:
        precision: "highest", "high" or "medium"; only the first may become another word.
    """
    return _FullPrecision.word if precision == "highest" else precision


@cache
def _fastest(width: int) -> str:
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
    """By how much products are faster than those of "highest", each with another number of rows."""
    repeats = 7
    rows, square = torch.ones(_ROWS + repeats, width), torch.ones(width, width)
    taken: dict[str, list[float]] = {"highest": [], precision: []}
    for more in range(repeats):
        for word, seconds in taken.items():
            torch.set_float32_matmul_precision(word)
            start = time.perf_counter()
            rows[: _ROWS + more] @ square
            seconds.append(time.perf_counter() - start)
    return median(taken["highest"]) / median(taken[precision])


def single(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it holds narrower floats, otherwise as it is."""
    if not tensor.is_floating_point():
        return tensor
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def inner_products(queries: Tensor, keys: Tensor) -> Tensor:
    """(B, C) float32 <q, k> of queries (B, D) and keys (C, D), whatever the trainer's precision.

    Rounded to bfloat16, scores of thousands of items would tie.
    """
    with full_precision(queries.device.type):
        return linear(single(queries), single(keys))


def repeated(rows: Tensor, index: Tensor) -> Tensor:
    """(..., D) the rows (U, D) at `index` (...), whose gradients add up in float32.

    In bfloat16 a sum of ones ends at 256, so the item of 257 histories would learn no more.
    """
    return F.embedding(index, single(rows))


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """Matrix products of float32 tensors are float32 inside: no autocast, no TF32.

    torch has one setting for the whole process. Threads that are inside at the same time share it,
    and the last one to leave restores it.
    """
    _FullPrecision.enter()
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        _FullPrecision.leave()


class _FullPrecision:
    """How many are inside `full_precision`, of all threads."""

    word = "highest"
    _lock = Lock()
    _num_inside = 0
    _before = "highest"

    @classmethod
    def enter(cls) -> None:
        with cls._lock:
            if not cls._num_inside:
                cls._before = torch.get_float32_matmul_precision()
                torch.set_float32_matmul_precision(cls.word)
            cls._num_inside += 1

    @classmethod
    def leave(cls) -> None:
        with cls._lock:
            cls._num_inside -= 1
            if not cls._num_inside:
                torch.set_float32_matmul_precision(cls._before)
