"""Where the values of a tensor are at hand, so that what is computed may depend on them."""

from __future__ import annotations

import torch
from torch import Tensor


def eagerly_on_cpu(tensor: Tensor) -> bool:
    """Whether the tensor is computed step by step on a CPU.

    A GPU would have to be waited for, and a graph that is compiled or exported holds for any value.
    """
    in_graph = torch.compiler.is_compiling() or torch.compiler.is_exporting()
    return tensor.device.type == "cpu" and not in_graph
