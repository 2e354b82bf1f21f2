"""A softmax over a whole catalogue whose scores never lie in memory together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from missrec.nn.precision import single

Score = Callable[[Tensor, Any], Tensor]
"""Encoded histories (B, ...) and candidates -> scores (B, C), as `Recommender.score`."""

_MIB = 2**20
_CPU_BYTES, _GPU_MEMORY_SHARE = 256 * _MIB, 8
_CPU_CACHE_BYTES = 2 * _MIB
"""Of one block on a CPU: what is done to its scores one after the other finds them in the cache."""


def default_score_bytes(device: torch.device) -> int:
    """Memory that the scores of a batch may take: 256 MiB on a CPU, a share of a GPU's free one."""
    if device.type != "cuda":
        return _CPU_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    return max(_MIB, free // _GPU_MEMORY_SHARE)


def block_columns(num_rows: int, *, score_bytes: int, device: torch.device) -> int:
    """How many candidates a block has, at least one, for scores of `num_rows` histories."""
    block_bytes = min(score_bytes, _CPU_CACHE_BYTES) if device.type != "cuda" else score_bytes
    return max(1, block_bytes // (4 * max(1, num_rows)))


def softmax_parts(
    score: Score,
    encoded: Tensor,
    candidates: Any,
    target_index: Tensor,
    *,
    num_candidates: int,
    temperature: float | None,
    columns: int,
) -> tuple[Tensor, Tensor]:
    """(B,) log sum exp of the scores of all candidates, and (B,) the targets' scores.

    A block of scores exists while it is summed up, and once more while its gradient is made: a
    third more products than with all scores kept, and B x `columns` scores in memory, not B x C.

    **Source**: the recomputation of cut cross-entropy (Wijmans et al., ICLR 2025), without its
    leaving out of small gradients: the result is that of the plain softmax, to rounding.

    Args:
        score: of a model, without randomness; it may read parameters, such as a fusion's alpha.
        encoded: (B, ...) histories.
        candidates: of C items; a tensor (C, ...), or what has `select` for a slice of them.
        target_index: (B,) which candidate each target is.
        num_candidates: C.
        temperature: scores are divided by it; None leaves them as they are.
        columns: candidates of a block.
    """
    tensors, structure = tree_flatten(candidates)
    blocks = _Blocks(score, structure, num_candidates, temperature, columns)
    parameters = blocks.parameters(encoded, tensors) if torch.is_grad_enabled() else []
    total, own = _Softmax.apply(blocks, target_index, encoded, *tensors, *parameters)
    return total, own


class _Blocks:
    """Scores candidates block by block."""

    def __init__(
        self,
        score: Score,
        structure: TreeSpec,
        num_candidates: int,
        temperature: float | None,
        columns: int,
    ) -> None:
        self._score = score
        self._structure = structure
        self._num_candidates = num_candidates
        self._temperature = temperature
        self._columns = columns

    @property
    def num_tensors(self) -> int:
        """How many tensors, or None in their place, candidates consist of."""
        return self._structure.num_leaves

    def cut(self, tensors: Any) -> Iterator[tuple[int, list[Any]]]:
        """Where each block starts, and views of its part of the tensors."""
        whole = tree_unflatten(tensors, self._structure)
        for start in range(0, self._num_candidates, self._columns):
            yield start, tree_flatten(selected(whole, slice(start, start + self._columns)))[0]

    def scores(self, encoded: Tensor, block: list[Any]) -> Tensor:
        """(B, b), before the temperature."""
        return self._score(encoded, tree_unflatten(block, self._structure))

    def logits(self, scores: Tensor) -> Tensor:
        """(B, b) over the temperature; the scores themselves where there is none."""
        return scores if self._temperature is None else scores / self._temperature

    def to_scores(self, gradient: Tensor) -> Tensor:
        """(B, b) the gradient of scores from that of logits, in its place."""
        return gradient if self._temperature is None else gradient.div_(self._temperature)

    def parameters(self, encoded: Tensor, tensors: list[Any]) -> list[Tensor]:
        """The leaves that the score reads beside histories and candidates."""
        with torch.enable_grad():
            detached = [None if tensor is None else tensor.detach() for tensor in tensors]
            _, block = next(self.cut(detached))
            probe = self.scores(encoded[:1].detach(), block)
        found: dict[Tensor, None] = {}
        waiting = [probe.grad_fn]
        seen = set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if hasattr(node, "variable"):
                found[node.variable] = None
            waiting += [following for following, _ in node.next_functions]
        return list(found)


class _Softmax(torch.autograd.Function):
    """`softmax_parts` of what is flat."""

    @staticmethod
    def forward(
        ctx: Any, blocks: _Blocks, target_index: Tensor, encoded: Tensor, *rest: Any
    ) -> tuple[Tensor, Tensor]:
        """Adds up the blocks as they come, relative to the largest score so far."""
        ctx.blocks = blocks
        tensors = rest[: blocks.num_tensors]
        largest = single(encoded).new_full(target_index.shape, -torch.inf)
        total, own = torch.zeros_like(largest), torch.zeros_like(largest)
        for start, block in blocks.cut(tensors):
            logits = blocks.logits(blocks.scores(encoded, block))
            rows, columns = _inside(target_index, start, logits)
            own[rows] = logits[rows, columns]
            new = torch.maximum(largest, logits.amax(dim=1))
            total = total * (largest - new).exp() + logits.sub_(new[:, None]).exp_().sum(dim=1)
            largest = new
        log_total = largest + total.log()
        ctx.present = [tensor is not None for tensor in rest]
        ctx.save_for_backward(target_index, encoded, log_total, *(t for t in rest if t is not None))
        return log_total, own

    @staticmethod
    def backward(ctx: Any, of_total: Tensor, of_own: Tensor) -> tuple[Tensor | None, ...]:
        """Scores each block again and sends its gradient on before the next one."""
        blocks: _Blocks = ctx.blocks
        target_index, encoded, log_total, *saved = ctx.saved_tensors
        remaining = iter(saved)
        rest = [next(remaining) if present else None for present in ctx.present]
        tensors, parameters = rest[: blocks.num_tensors], rest[blocks.num_tensors :]
        history = encoded.detach().requires_grad_()
        summed = [torch.zeros_like(tensor) for tensor in (history, *parameters)]
        placed = [None if tensor is None else torch.empty_like(tensor) for tensor in tensors]
        for (start, block), (_, places) in zip(
            blocks.cut(tensors), blocks.cut(placed), strict=True
        ):
            leaves = [_leaf(part) for part in block]
            with torch.enable_grad():
                scores = blocks.scores(history, leaves)
            gradient = blocks.logits(scores.detach()) - log_total[:, None]
            gradient.exp_().mul_(of_total[:, None])
            rows, columns = _inside(target_index, start, gradient)
            gradient[rows, columns] += of_own[rows]
            learning = [leaf for leaf in leaves if leaf is not None and leaf.requires_grad]
            found = torch.autograd.grad(
                scores,
                [history, *parameters, *learning],
                blocks.to_scores(gradient),
                allow_unused=True,
                materialize_grads=True,
            )
            for total, part in zip(summed, found, strict=False):
                total.add_(part)
            of_leaves = iter(found[len(summed) :])
            for leaf, place in zip(leaves, places, strict=True):
                if leaf is not None and leaf.requires_grad:
                    place.copy_(next(of_leaves))
        whole = [summed[0], *placed, *summed[1:]]
        wanted = ctx.needs_input_grad[2:]
        return (None, None, *(g if want else None for g, want in zip(whole, wanted, strict=True)))


def _inside(target_index: Tensor, start: int, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The rows whose target is in a block that begins at `start`, and its column there."""
    columns = target_index - start
    rows = ((columns >= 0) & (columns < logits.shape[1])).nonzero().squeeze(1)
    return rows, columns[rows]


def selected(candidates: Any, part: slice | Tensor) -> Any:
    """Some of the candidates, see `softmax_parts`: a slice of them, or those of an index (Q,)."""
    return candidates[part] if isinstance(candidates, Tensor) else candidates.select(part)


def _leaf(tensor: Tensor | None) -> Tensor | None:
    if tensor is None or not tensor.is_floating_point():
        return tensor
    return tensor.detach().requires_grad_()
