"""What stays in single precision when a trainer computes in a narrower one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.nn.kernels import fastest_exact
from missrec.nn.linear import linear


@contextmanager
def products(precision: str, *, width: int | None) -> Iterator[None]:
    """Inside, products of float32 are as exact as a word says, by the fastest kernels for it.

    So they are inside `full_precision`, too. On GPUs the words mean what they say.

    Args:
        precision: "highest", "high" or "medium", see `torch.set_float32_matmul_precision`.
        width: of the model, D; None, or one that no model can have: no kernels are chosen.
    """
    before = torch.get_float32_matmul_precision(), _FullPrecision.word
    is_width = isinstance(width, int) and width > 0
    has_choice = is_width and not torch.cuda.is_available()
    _FullPrecision.word = fastest_exact(width) if has_choice else "highest"
    torch.set_float32_matmul_precision(_FullPrecision.word if precision == "highest" else precision)
    try:
        yield
    finally:
        word, _FullPrecision.word = before
        torch.set_float32_matmul_precision(word)


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
