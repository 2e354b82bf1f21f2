"""DPC-KNN: density peaks clustering with k nearest neighbours, in blocks."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from missrec.distributed import gather, share, share_of
from missrec.interests.neighbors import (
    NeighborSearch,
    centered,
    half_squared,
    row_blocks,
    shifted_distances,
)

_KEPT_NEIGHBORS = 16
"""Neighbours kept of each token: with more, fewer tokens need the second search for delta."""
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Whole numbers as wide as a floating-point one."""


class DensityPeaks(NamedTuple):
    """Result of the clustering.

    Attributes:
        log_density: (T,) log of rho, Eq. 3. rho itself underflows: exp(-100) is 0 in float32.
        separation: (T,) delta, Eq. 4.
        peaks: (K,) int64 tokens that are prototypes, by falling rho x delta.
        assignment: (T,) int64, index into `peaks` of the nearest prototype.
    """

    log_density: Tensor
    separation: Tensor
    peaks: Tensor
    assignment: Tensor


def density_peaks(
    tokens: Tensor,
    *,
    num_neighbors: int,
    include_self: bool,
    break_ties: bool,
    num_peaks: int,
    search: NeighborSearch,
    block_bytes: int,
) -> DensityPeaks:
    """Density peaks of the tokens and the nearest peak of each (MISSRec Eq. 3-4, section 3.3.1).

    Distances are computed in row blocks, so that no T x T matrix exists. Equal rho x delta and
    equal distances are ordered by index. Equal tokens have one density, whatever the blocks, the
    search and the device round: that of the first of them. Several processes, all with the same
    tokens, search a share of the rows each and tell each other what they found.

    Args:
        tokens: (T, D) floating point.
        num_neighbors: k of Eq. 3; at most T - 1, or T with `include_self`.
        include_self: the token itself is the first of its k neighbours, at distance 0.
        break_ties: of two tokens with equal density the one with the lower index counts as
            denser, so of exact duplicates only one can be a peak; otherwise neither does.
        num_peaks: K, the number of prototypes; 1 <= K <= T.
        search: finds the neighbours; where it misses some, density and parent come from the
            others.
        block_bytes: memory of one block of distances; about three are alive at a time.

    Raises:
        ValueError: there are fewer than two tokens, num_neighbors or num_peaks is out of range,
            or a token is not finite.
    """
    num_tokens = len(tokens)
    if num_tokens < 2:
        raise ValueError(f"density peaks need at least 2 tokens, found {num_tokens}")
    num_others = num_neighbors - 1 if include_self else num_neighbors
    most = num_tokens if include_self else num_tokens - 1
    if not 1 <= num_neighbors <= most:
        raise ValueError(
            f"num_neighbors ({num_neighbors}) must be in 1..{most} with {num_tokens} tokens"
        )
    if not 1 <= num_peaks <= num_tokens:
        raise ValueError(f"num_peaks ({num_peaks}) must be in 1..{num_tokens}")
    if not torch.isfinite(tokens).all():
        raise ValueError("tokens hold NaN or Inf; the training may have diverged")
    first = first_equal(tokens)
    squared_sum, neighbors = _nearest(tokens, num_others, search=search, block_bytes=block_bytes)
    log_density = (-squared_sum / num_neighbors)[first]
    around_mean = centered(tokens)
    separation = _separation(
        tokens, around_mean, log_density, neighbors, break_ties=break_ties, block_bytes=block_bytes
    )[first]
    if break_ties:  # the first of equal tokens is as dense as the others, and at distance 0
        separation[first < torch.arange(num_tokens, device=tokens.device)] = 0
    peaks = (log_density + separation.log()).argsort(descending=True, stable=True)[:num_peaks]
    assignment = _assign(around_mean, peaks, separation, neighbors, first, block_bytes=block_bytes)
    return DensityPeaks(log_density, separation, peaks, assignment)


def first_equal(tokens: Tensor) -> Tensor:
    """(T,) int64, of each token (T, D) the first one that equals it in all its numbers."""
    first = torch.arange(len(tokens), device=tokens.device)
    # Equal tokens have equal bits, once -0 is 0, and sums of whole numbers have no rounding. So
    # only the few that share a sum are compared number by number.
    bits = (tokens + 0.0).view(_BITS[tokens.element_size()])
    _, group, sizes = torch.unique(bits.sum(dim=1), return_inverse=True, return_counts=True)
    shared = (sizes[group] > 1).nonzero().squeeze(1)
    if len(shared):
        _, equal = torch.unique(tokens[shared], dim=0, return_inverse=True)
        lowest = torch.full_like(shared, len(tokens)).scatter_reduce(0, equal, shared, "amin")
        first[shared] = lowest[equal]
    return first


def planned_bytes(
    *, num_tokens: int, embed_dim: int, search: NeighborSearch, block_bytes: int
) -> int:
    """What `density_peaks` takes of memory beside the tokens, in float32."""
    copy = 4 * num_tokens * embed_dim
    # The centred tokens; what the search keeps, whose memory may not come back; the tokens in the
    # order of their density.
    index = search.index_bytes(num_tokens=num_tokens, embed_dim=embed_dim)
    neighbors = 8 * num_tokens * min(_KEPT_NEIGHBORS, num_tokens - 1)
    # Distances, and what is selected from them; the neighbours by rank, and their masks.
    return 2 * copy + index + 3 * neighbors + 3 * min(block_bytes, 4 * num_tokens**2)


def _nearest(
    tokens: Tensor,
    num_others: int,
    *,
    search: NeighborSearch,
    block_bytes: int,
) -> tuple[Tensor, Tensor]:
    """Of each token, what its nearest others say.

    Returns:
        (T,) the sum of the squared distances to the `num_others` nearest other tokens, and
        (T, kept) the nearest others by rising (distance, index).
    """
    num_tokens = len(tokens)
    kept = min(_KEPT_NEIGHBORS, num_tokens - 1)
    squared_sum = tokens.new_empty(num_tokens)
    neighbors = torch.empty((num_tokens, kept), dtype=torch.int64, device=tokens.device)
    own = share_of(num_tokens)
    for rows, found, indices in search(
        tokens, rows=own, count=max(kept, num_others), block_bytes=block_bytes
    ):
        nearest = found.topk(kept, dim=1, largest=False, sorted=False).indices
        beyond = found.scatter(1, nearest, 0).sum(dim=1)  # 0 where no more than `kept` were found
        # The nearest by subtraction: exact, so that ties are ties and duplicates are at 0.
        closest = indices.gather(1, nearest).sort(dim=1).values
        squared = (tokens[rows, None] - tokens[closest]).square().sum(dim=-1)  # (R, kept)
        squared, order = squared.sort(dim=1, stable=True)
        neighbors[rows] = closest.gather(1, order)
        squared_sum[rows] = squared[:, :num_others].sum(dim=1) + beyond
    mine = slice(own.start, own.stop)
    return gather(squared_sum[mine]).rows, gather(neighbors[mine]).rows


def _separation(
    tokens: Tensor,
    around_mean: Tensor,
    log_density: Tensor,
    neighbors: Tensor,
    *,
    break_ties: bool,
    block_bytes: int,
) -> Tensor:
    """(T,) distance to the nearest denser token; of the densest, to the farthest token (Eq. 4)."""
    by_density = log_density.argsort(descending=True, stable=True)
    num_denser = torch.arange(len(tokens), device=tokens.device)
    if not break_ties:
        falls = log_density[by_density].diff().ne(0)
        num_denser[1:] = num_denser[1:].where(falls, 0).cummax(dim=0).values
    density_rank = torch.empty_like(by_density)
    density_rank[by_density] = num_denser

    # The first denser one among the kept neighbours is the nearest denser token of all.
    is_denser = density_rank[neighbors] < density_rank[:, None]
    parent = neighbors.gather(1, is_denser.int().argmax(dim=1, keepdim=True)).squeeze(1)

    # The others are peaks among their neighbours: search all denser tokens. In the order of
    # falling density those are the columns before the row, so the blocks are also narrower.
    row_bytes = tokens.element_size() * len(tokens)
    local_peaks = share(by_density[~is_denser.any(dim=1)[by_density]])
    ordered = around_mean[by_density]
    halves = half_squared(ordered)
    for block in row_blocks(range(len(local_peaks)), row_bytes=row_bytes, block_bytes=block_bytes):
        rows = local_peaks[block]
        ranks = density_rank[rows]
        width = int(ranks[-1]) + 1
        distances = shifted_distances(around_mean[rows], ordered[:width], halves[:width])
        columns = torch.arange(width, device=tokens.device)
        distances.masked_fill_(columns >= ranks[:, None], math.inf)
        parent[rows] = by_density[distances.argmin(dim=1)]
    parent[gather(local_peaks).rows] = gather(parent[local_peaks]).rows
    # By subtraction, so that the distance between duplicates is exactly 0.
    separation = torch.empty_like(log_density)
    for block in row_blocks(
        range(len(tokens)), row_bytes=tokens[0].nbytes, block_bytes=block_bytes
    ):
        separation[block] = torch.linalg.vector_norm(tokens[block] - tokens[parent[block]], dim=1)
    densest = by_density[num_denser == 0]
    for block in row_blocks(range(len(densest)), row_bytes=row_bytes, block_bytes=block_bytes):
        distances = torch.cdist(
            tokens[densest[block]], tokens, compute_mode="donot_use_mm_for_euclid_dist"
        )
        separation[densest[block]] = distances.amax(dim=1)
    return separation


def _assign(
    tokens: Tensor,
    peaks: Tensor,
    separation: Tensor,
    neighbors: Tensor,
    first: Tensor,
    *,
    block_bytes: int,
) -> Tensor:
    """(T,) index into `peaks` of the nearest peak of each token; a peak's is itself.

    Of equal peaks the first attracts the others: they are no better, and come after it in `peaks`.
    One at delta = 0 does not even attract itself.
    """
    indices = torch.arange(len(peaks), device=tokens.device)
    is_first = first == torch.arange(len(tokens), device=tokens.device)
    attracts = is_first[peaks]
    peak_index = torch.full((len(tokens),), -1, dtype=torch.int64, device=tokens.device)
    peak_index[peaks[attracts]] = indices[attracts]
    # The first peak among the neighbours, nearest first, is the nearest peak of all.
    neighbor_peaks = peak_index[first[neighbors]]  # (T, kept)
    nearest = (neighbor_peaks >= 0).int().argmax(dim=1, keepdim=True)
    assignment = torch.where(
        peak_index >= 0, peak_index, neighbor_peaks.gather(1, nearest).squeeze(1)
    )
    rest = share(((assignment < 0) & is_first).nonzero().squeeze(1))
    by_index = indices[attracts]  # of equally near peaks, the token with the lower index
    by_index = by_index[peaks[by_index].argsort(stable=True)]
    centers = tokens[peaks[by_index]]
    halves = half_squared(centers)
    row_bytes = tokens.element_size() * len(centers)
    for block in row_blocks(range(len(rest)), row_bytes=row_bytes, block_bytes=block_bytes):
        distances = shifted_distances(tokens[rest[block]], centers, halves)
        assignment[rest[block]] = by_index[distances.argmin(dim=1)]
    assignment[gather(rest).rows] = gather(assignment[rest]).rows
    assignment = assignment[first]
    themselves = indices[separation[peaks] > 0]
    assignment[peaks[themselves]] = themselves
    return assignment
