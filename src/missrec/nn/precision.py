"""What stays in single precision when a trainer computes in a narrower one."""

from __future__ import annotations

import torch
from torch import Tensor


def single(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it is narrower, otherwise as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
