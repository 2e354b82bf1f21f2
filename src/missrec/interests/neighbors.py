"""Searches for the nearest other tokens of each token: exact by matmul, approximate by FAISS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

_CELLS_PER_ROOT = 4
"""Cells of the approximate search, as a multiple of the root of the number of tokens."""
_TRAINING_TOKENS_PER_CELL = 64
_SQUARED_ROWS = 4096
_CHUNK = 64
"""Columns that the exact search takes the minimum of first."""
_CHUNKS_PER_SELECTED = 3
"""With fewer chunks than so many times the wanted neighbours, one selection is faster than two."""
_MIB = 1 << 20
_CPU_BLOCK_BYTES = 128 * _MIB
_GPU_MEMORY_SHARE = 8
"""A block takes one of so many parts of the free memory; about three are alive at a time."""


class NearestBlock(NamedTuple):
    """The nearest others of the tokens `rows`.

    Attributes:
        rows: of the tokens searched for.
        squared: (R, count) squared distances, in any order.
        indices: (R, count) int64 tokens.
    """

    rows: slice
    squared: Tensor
    indices: Tensor


class NeighborSearch(Protocol):
    """A way to find the nearest others of every token."""

    def __call__(
        self, tokens: Tensor, *, rows: range, count: int, block_bytes: int
    ) -> Iterator[NearestBlock]:
        """The `count` nearest others among all tokens of the tokens `rows`, block by block.

        Args:
            tokens: (T, D), wherever they lie: the search takes them around their mean.
            rows: of 0..T - 1, one after the other.
            count: 1..T - 1.
            block_bytes: memory of one block.
        """

    def index_bytes(self, *, num_tokens: int, embed_dim: int) -> int:
        """Memory of what the search keeps of the tokens meanwhile."""


class ExactNeighbors:
    """Distances to all tokens, a block of rows at a time; no T x T matrix exists."""

    def __call__(
        self, tokens: Tensor, *, rows: range, count: int, block_bytes: int
    ) -> Iterator[NearestBlock]:
        """See `NeighborSearch`."""
        tokens = centered(tokens)
        row_bytes = tokens.element_size() * len(tokens)
        halves = half_squared(tokens)
        for block in row_blocks(rows, row_bytes=row_bytes, block_bytes=block_bytes):
            own = torch.arange(block.start, block.stop, device=tokens.device)
            yield NearestBlock(block, *_nearest_of(own, tokens, halves, count=count))

    def index_bytes(self, *, num_tokens: int, embed_dim: int) -> int:
        """None: it reads the tokens themselves."""
        return 0


class FaissNeighbors:
    """Searches the cells nearest to a token, of a FAISS inverted-file index over all tokens.

    Neighbours in other cells are missed; `bench/interests.py` measures how many. On a CPU this
    makes hundreds of thousands of tokens feasible; the index lies in main memory, so a GPU is
    better served by `ExactNeighbors`. The same tokens and number of threads give the same
    neighbours.

    **Source**: Jegou, Douze & Schmid 2011, as `IndexIVFFlat` of FAISS.
    """

    def __init__(self, *, num_probes: int) -> None:
        """Keeps the setting.

        Args:
            num_probes: cells searched for each token; more find more and take longer.

        Raises:
            ValueError: num_probes < 1.
        """
        if num_probes < 1:
            raise ValueError(f"num_probes ({num_probes}) must be at least 1")
        self._num_probes = num_probes

    def __call__(
        self, tokens: Tensor, *, rows: range, count: int, block_bytes: int
    ) -> Iterator[NearestBlock]:
        """See `NeighborSearch`."""
        import faiss

        tokens = centered(tokens)
        halves = half_squared(tokens)
        faiss.omp_set_num_threads(torch.get_num_threads())
        vectors = tokens.detach().float().cpu().contiguous().numpy()
        num_cells = max(1, round(_CELLS_PER_ROOT * math.sqrt(len(vectors))))
        num_cells = min(num_cells, len(vectors))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(vectors.shape[1]), vectors.shape[1], num_cells)
        index.cp.max_points_per_centroid = _TRAINING_TOKENS_PER_CELL
        index.cp.min_points_per_centroid = 1  # few tokens are no mistake
        index.nprobe = self._num_probes
        index.train(vectors)
        index.add(vectors)
        exact_rows = max(1, block_bytes // (tokens.element_size() * len(tokens)))
        # As many rows as their neighbours' vectors fit a block.
        row_bytes = count * vectors[0].nbytes
        for block in row_blocks(rows, row_bytes=row_bytes, block_bytes=block_bytes):
            squared, indices = map(torch.from_numpy, index.search(vectors[block], count + 1))
            own = torch.arange(block.start, block.stop)[:, None]
            # Among exact duplicates the token itself may be missing; then the farthest goes.
            squared.masked_fill_((indices == own) | (indices < 0), math.inf)
            squared, order = squared.topk(count, dim=1, largest=False, sorted=False)
            indices = indices.gather(1, order)
            # The cells of an outlier can hold too few others; it is searched exactly.
            few = squared.isinf().any(dim=1).nonzero().squeeze(1)
            for part in torch.split(few, exact_rows):
                searched = own[part, 0].to(tokens.device)
                exact = _nearest_of(searched, tokens, halves, count=count)
                squared[part], indices[part] = exact[0].to(squared), exact[1].to(indices)
            yield NearestBlock(
                block, squared.to(tokens.device, tokens.dtype), indices.to(tokens.device)
            )

    def index_bytes(self, *, num_tokens: int, embed_dim: int) -> int:
        """The vectors again and their numbers, in lists that grow by doubling."""
        return 2 * num_tokens * (4 * embed_dim + 8)


def default_block_bytes(device: torch.device) -> int:
    """Memory of one block of distances: 128 MiB on a CPU, a share of what is free on a GPU."""
    if device.type != "cuda":
        return _CPU_BLOCK_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    return max(_MIB, free // _GPU_MEMORY_SHARE)


def _nearest_of(
    own: Tensor, tokens: Tensor, halves: Tensor, *, count: int
) -> tuple[Tensor, Tensor]:
    """Squared distances (R, count) and indices of the nearest others of the tokens `own` (R,)."""
    num_tokens = len(tokens)
    padded = num_tokens + -num_tokens % _CHUNK
    distances = tokens.new_empty(len(own), padded)
    distances[:, num_tokens:] = math.inf
    torch.addmm(halves, tokens[own], tokens.T, alpha=-1, out=distances[:, :num_tokens])
    distances[torch.arange(len(own), device=own.device), own] = math.inf
    values, indices = _smallest(distances, count=count)
    return (2 * (values + halves[own, None])).clamp_min_(0), indices


def _smallest(values: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
    """The `count` smallest of each row and where they stand, in any order.

    They lie in the `count` chunks whose minima are smallest, so nothing else is selected from.

    Args:
        values: (R, C), C a multiple of the size of a chunk.
        count: at most C.
    """
    num_rows, num_columns = values.shape
    if num_columns < _CHUNKS_PER_SELECTED * count * _CHUNK:
        found = values.topk(count, largest=False, sorted=False)
        return found.values, found.indices
    chunks = values.view(num_rows, num_columns // _CHUNK, _CHUNK)
    chosen = chunks.amin(dim=2).topk(count, largest=False, sorted=False).indices  # (R, count)
    inside = chunks.gather(1, chosen[..., None].expand(-1, -1, _CHUNK)).flatten(1)
    found = inside.topk(count, largest=False, sorted=False)
    chunk = chosen.gather(1, found.indices // _CHUNK)
    return found.values, chunk * _CHUNK + found.indices % _CHUNK


def row_blocks(rows: range, *, row_bytes: int, block_bytes: int) -> Iterator[slice]:
    """The rows in order, as many at a time as fit a block, at least one."""
    block_rows = max(1, block_bytes // row_bytes)
    for start in range(rows.start, rows.stop, block_rows):
        yield slice(start, min(start + block_rows, rows.stop))


def centered(tokens: Tensor) -> Tensor:
    """(T, D) the tokens around their mean, where |a|^2 + |b|^2 - 2ab loses fewer digits."""
    return (tokens - tokens.mean(dim=0)).contiguous()


def half_squared(tokens: Tensor) -> Tensor:
    """(T,) |b|^2 / 2, without a copy of the tokens."""
    return torch.cat([rows.square().sum(dim=1) for rows in torch.split(tokens, _SQUARED_ROWS)]) / 2


def shifted_distances(rows: Tensor, columns: Tensor, halves: Tensor) -> Tensor:
    """(R, C) |b|^2 / 2 - ab, which orders the columns of a row as their distance to it does."""
    return torch.addmm(halves, rows, columns.T, alpha=-1)
