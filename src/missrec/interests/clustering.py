"""Clusterings of item tokens into interest prototypes."""

from __future__ import annotations

import logging
import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from missrec.interests.dpc_knn import density_peaks, planned_bytes
from missrec.interests.neighbors import NeighborSearch, default_block_bytes

_log = logging.getLogger(__name__)
_WORTH_SAYING = 10**9
"""Bytes; a clustering that plans for less needs no announcement."""


class Clusters(NamedTuple):
    """Prototypes and members.

    Attributes:
        prototypes: (K, D).
        assignment: (T,) int64, the prototype of each token.
    """

    prototypes: Tensor
    assignment: Tensor


class Clustering(Protocol):
    """Any way to find K prototypes among T tokens."""

    def __call__(self, tokens: Tensor, *, num_clusters: int) -> Clusters:
        """Clusters of the tokens (T, D); the same tokens give the same clusters."""


class DPCKNN:
    """Density peaks with k nearest neighbours (MISSRec Eq. 3-4, section 3.3.1)."""

    def __init__(
        self,
        *,
        num_neighbors: float,
        include_self: bool,
        scale_distances: bool,
        break_ties: bool,
        mean_prototypes: bool,
        search: NeighborSearch,
        block_bytes: int | None,
    ) -> None:
        """Keeps the settings.

        Args:
            num_neighbors: k of Eq. 3; a number below 1 is a share of the tokens.
            include_self: a token is the first of its k neighbours, as in the released code.
            scale_distances: divide all distances by sqrt(D), as in the released code.
            break_ties: of equally dense tokens the first counts as denser, so that of exact
                duplicates only one is a peak; the released code does not.
            mean_prototypes: a prototype is the mean of its members, not the peak token itself.
            search: finds the neighbours, exactly or not.
            block_bytes: see `density_peaks`; None chooses by the device and its free memory.

        Raises:
            ValueError: num_neighbors is neither a share in (0, 1) nor a whole number.
        """
        is_share = 0 < num_neighbors < 1
        if not (is_share or (num_neighbors >= 1 and float(num_neighbors).is_integer())):
            raise ValueError(
                f"num_neighbors ({num_neighbors}) must be a whole number, or a share of the "
                "tokens in (0, 1)"
            )
        self._num_neighbors = num_neighbors
        self._include_self = include_self
        self._scale_distances = scale_distances
        self._break_ties = break_ties
        self._mean_prototypes = mean_prototypes
        self._search = search
        self._block_bytes = block_bytes

    def __call__(self, tokens: Tensor, *, num_clusters: int) -> Clusters:
        """See `Clustering`.

        Raises:
            ValueError: there are too few tokens for k neighbours, or one is not finite.
        """
        num_neighbors = int(self._num_neighbors)
        if self._num_neighbors < 1:
            # 0.07 x 100 is 7.000000000000001 in floating point; that is still 7 neighbours.
            num_neighbors = math.ceil(round(self._num_neighbors * len(tokens), ndigits=6))
        block_bytes = self._block_bytes or default_block_bytes(tokens.device)
        planned = planned_bytes(
            num_tokens=len(tokens),
            embed_dim=tokens.shape[1],
            search=self._search,
            block_bytes=block_bytes,
        )
        if self._scale_distances:
            planned += tokens.nbytes
        if planned > _WORTH_SAYING:
            _log.info("DPC-KNN of %s tokens takes up to %.1f GB", f"{len(tokens):,}", planned / 1e9)
        result = density_peaks(
            tokens / math.sqrt(tokens.shape[1]) if self._scale_distances else tokens,
            num_neighbors=num_neighbors,
            include_self=self._include_self,
            break_ties=self._break_ties,
            num_peaks=num_clusters,
            search=self._search,
            block_bytes=block_bytes,
        )
        if not self._mean_prototypes:
            return Clusters(tokens[result.peaks], result.assignment)
        return Clusters(
            _means(tokens, result.assignment, num_clusters=num_clusters), result.assignment
        )


class SinglePrototype:
    """One zero prototype for all tokens: what the mini-batch k-means of the released code finds."""

    def __call__(self, tokens: Tensor, *, num_clusters: int) -> Clusters:
        """See `Clustering`; the other prototypes have no members."""
        return Clusters(
            tokens.new_zeros(num_clusters, tokens.shape[1]),
            torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device),
        )


def _means(tokens: Tensor, assignment: Tensor, *, num_clusters: int) -> Tensor:
    """(K, D) mean of the members of each cluster; zeros where there is none."""
    sizes = assignment.bincount(minlength=num_clusters)
    sums = tokens.new_zeros(num_clusters, tokens.shape[1]).index_add_(0, assignment, tokens)
    return sums / sizes[:, None].clamp_min(1)
