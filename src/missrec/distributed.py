"""What the processes of one training tell each other; a process alone keeps what it has.

All processes hold the same batch. Each computes the loss of its share of the rows, and DDP averages
the gradients over the processes. So that this is the gradient of the whole batch, a loss on each
process is its part of the whole: the mean of the parts over the processes is the loss of the batch.

Every process must come to the same calls in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from torch import Tensor, distributed
from torch.autograd.function import FunctionCtx

T = TypeVar("T")

_apart = ContextVar("apart", default=False)


class Gathered(NamedTuple):
    """The rows of all processes.

    Attributes:
        rows: (B of all processes, ...), process after process.
        first: where those of this process start.
    """

    rows: Tensor
    first: int


def num_processes() -> int:
    """How many processes work together; 1 inside `apart`."""
    together = distributed.is_available() and distributed.is_initialized() and not _apart.get()
    return distributed.get_world_size() if together else 1


def process_index() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if num_processes() > 1 else 0


def is_first_process() -> bool:
    """Whether this process is the one that writes and speaks; known before the processes meet."""
    return getattr(rank_zero_only, "rank", 0) == 0


@contextmanager
def apart() -> Iterator[None]:
    """Inside, each process works as if it were alone: all of them must do the same."""
    before = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(before)


def share(rows: Tensor) -> Tensor:
    """The rows of this process: every n-th, so that lengths and sizes are alike everywhere."""
    return rows[process_index() :: num_processes()].contiguous()


def share_of(num_rows: int) -> range:
    """The rows of this process as one piece; the pieces of all processes are all rows."""
    index, count = process_index(), num_processes()
    return range(num_rows * index // count, num_rows * (index + 1) // count)


def gather(rows: Tensor) -> Gathered:
    """The rows (B, ...) of all processes, whose numbers may differ.

    The gradient of a row is the sum of what all processes ask of it.
    """
    if num_processes() == 1:
        return Gathered(rows, 0)
    # The device is waited for.
    sizes = [int(size) for size in _all_gather(torch.tensor([len(rows)], device=rows.device))]
    if not any(sizes):
        return Gathered(rows, 0)
    gathered: Tensor = _Gather.apply(rows, sizes)
    return Gathered(gathered, sum(sizes[: process_index()]))


def gather_objects(found: T) -> list[T]:
    """What each process has found, process after process."""
    if num_processes() == 1:
        return [found]
    gathered: list[Any] = [None] * num_processes()
    distributed.all_gather_object(gathered, found)
    return gathered


def batch_mean(mean: Tensor, *, count: int) -> Tensor:
    """() this process's part of a mean over the whole batch.

    Args:
        mean: () over the values of this process.
        count: how many they are; where there is none, `mean` may be NaN.
    """
    if num_processes() == 1:
        return mean
    total = batch_total(torch.tensor(count, dtype=torch.float64, device=mean.device))
    weight = (num_processes() * count / total).to(mean.dtype)
    return weight * (mean if count else mean.nan_to_num())


def batch_sum(values: Tensor) -> Tensor:
    """() this process's part of a sum over the whole batch, from the sum over its own rows ()."""
    return num_processes() * values


def batch_total(values: Tensor) -> Tensor:
    """The sum of a tensor over the processes, the same on all; without gradient."""
    return _reduced(values, distributed.ReduceOp.SUM)


def batch_largest(value: Tensor) -> Tensor:
    """The largest of a tensor over the processes, the same on all; without gradient."""
    return _reduced(value, distributed.ReduceOp.MAX)


def from_first(values: Tensor) -> Tensor:
    """What the first process has."""
    if num_processes() > 1:
        values = values.contiguous()
        distributed.broadcast(values, src=0)
    return values


def _reduced(values: Tensor, operation: distributed.ReduceOp.RedOpType) -> Tensor:
    if num_processes() == 1:
        return values
    reduced = values.detach().clone()
    distributed.all_reduce(reduced, op=operation)
    return reduced


def _all_gather(values: Tensor) -> list[Tensor]:
    gathered = [torch.empty_like(values) for _ in range(num_processes())]
    distributed.all_gather(gathered, values)
    return gathered


class _Gather(torch.autograd.Function):
    """`gather` of sizes that are known."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        """Pads all to the same number of rows, which the collective asks for."""
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        first = sum(sizes[: process_index()])
        ctx.own = slice(first, first + len(rows))  # type: ignore[attr-defined]
        pairs = zip(_all_gather(padded), sizes, strict=True)
        return torch.cat([part[:size] for part, size in pairs])

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        """Adds up what all processes ask of the rows of this one."""
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total[ctx.own], None  # type: ignore[attr-defined]
