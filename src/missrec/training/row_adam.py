"""Adam that leaves alone the rows of a table that a step did not touch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam


class RowAdam(Adam):
    """Adam; of a table with sparse gradients it reads and writes the touched rows alone.

    With millions of items and a loss over few of them, Adam spends its time on rows whose gradient
    is zero. Where every row is touched in every step, both do the same.

    **Source**: `torch.optim.SparseAdam`, for all parameters of a model together, with weight decay.
    **Differs** from Adam: while a row is not touched its moments do not decay and it does not move
    by them, nor by weight decay.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all parameters."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        sparse = []
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    sparse.append((table, table.grad, group))
                    table.grad = None  # Adam takes no sparse ones
        super().step()
        for table, gradient, group in sparse:
            self._step_rows(table, gradient.coalesce(), group)
            table.grad = gradient
        return loss

    def _step_rows(self, table: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Adam's update of the rows of a coalesced gradient, in place."""
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=table.device)
            state["exp_avg"] = torch.zeros_like(table)
            state["exp_avg_sq"] = torch.zeros_like(table)
        state["step"] += 1
        rows, values = gradient.indices()[0], gradient.values()
        if group["weight_decay"]:
            values = values + group["weight_decay"] * table[rows]
        first, second = group["betas"]
        means = state["exp_avg"][rows].lerp_(values, 1 - first)
        squares = state["exp_avg_sq"][rows].mul_(second).addcmul_(values, values, value=1 - second)
        state["exp_avg"][rows] = means
        state["exp_avg_sq"][rows] = squares
        step = state["step"].item()
        scale = math.sqrt(1 - second**step)
        size = group["lr"] / (1 - first**step)
        table.index_add_(0, rows, means / (squares.sqrt_() / scale + group["eps"]), alpha=-size)


def learn_rows(model: nn.Module, *, num_items: int) -> None:
    """Has the tables of items give sparse gradients of what a step looks up.

    Args:
        model: changed in place.
        num_items: N; its tables have a row for each and for padding.
    """
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == num_items + 1:
            module.sparse = True
