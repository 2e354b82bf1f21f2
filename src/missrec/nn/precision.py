"""What stays in single precision when a trainer computes in a narrower one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


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
        return single(queries) @ single(keys).T


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """Matrix products of float32 tensors are float32 inside: no autocast, no TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
