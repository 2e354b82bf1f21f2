"""Items as votes of those that stood near them and of those they are like; nothing is learned."""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.adapters import Standardized, modality_adapters
from missrec.nn.precision import inner_products, single
from missrec.nn.rows import spread_rows
from missrec.types import SMALLEST_LENGTH, Catalogue, ItemRows, SequenceBatch, TrainSequences

_LEAST_WEIGHT = 0.01
"""Pairs that stand farther apart than this weight are not counted."""


class ItemNeighbors(nn.Module):
    """Item-based nearest neighbors of a history: by co-occurrence, and by content.

    An item j is scored by the items i_1, ..., i_n of the history, the last one most:

        s(j) = sum_k w_k (v(i_k) . v(j) + count_weight c(i_k, j)) / sum_k w_k,  j not i_k,

    with w_k = exp(-(n - k) / decay). c(i, j) counts how often i and j stand in one training
    sequence, in either order; at distance d they count exp(-(d - 1) / decay). v . v is the mean of
    the cosines of the feature sets, each moved around its mean; where one of both lacks a set, that
    cosine is 0.

    **Source**: item-based collaborative filtering (Sarwar et al., WWW 2001), with counts of pairs
    by distance like the sequential rules of Ludewig and Jannach (UMUAI 2018, section 3.1).
    **Differs**: counts are not divided by how often an item occurs, and count in both directions.

    K is the number of neighbors kept of each item, W the width of all feature sets together.
    """

    item_rows = (
        ItemRows("neighbor_ids", dim=0, is_id=False, holds_ids=True, is_counted=True),
        ItemRows("neighbor_counts", dim=0, is_id=False, is_counted=True),
    )
    neighbor_ids: Tensor
    neighbor_counts: Tensor
    _frozen: Tensor | None

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        item_ids: bool,
        count_weight: float = 0.33,
        num_neighbors: int = 100,
        decay: float = 1.5,
    ) -> None:
        """Counts the pairs and learns the means of the features.

        Args:
            catalogue: the items of the run.
            item_ids: transductive rather than inductive: without, nothing is counted.
            count_weight: above 0.
            num_neighbors: K, those with the most counts, at least 1.
            decay: items after which a vote, or what a pair counts, is a third (1/e); above 0.

        Raises:
            ValueError: a setting is outside its range.
        """
        super().__init__()
        if num_neighbors < 1 or num_neighbors % 1:
            raise ValueError(f"num_neighbors ({num_neighbors}) must be a whole number, at least 1")
        for name, value in (("count_weight", count_weight), ("decay", decay)):
            if not value > 0:
                raise ValueError(f"{name} ({value}) must be above 0")
        self._num_items = catalogue.num_items
        self._count_weight = count_weight
        self._decay = decay
        self._features = catalogue.features
        self.content = modality_adapters(
            self._features, embed_dim=0, adapter=lambda width, _: Standardized(width)
        )
        shape = (self._num_items + 1, self._num_items + 1)
        counts = csr_array(shape, dtype=np.float32)
        if item_ids:
            counts += _near_each_other(catalogue.train_sequences, shape, decay=decay)
        ids, kept = _largest(counts, int(num_neighbors))
        self.register_buffer("neighbor_ids", ids)
        self.register_buffer("neighbor_counts", kept)
        self.register_buffer("_frozen", None, persistent=False)

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, W + N + 1) the mean of what a history is like, beside its counts of each item."""
        shape, ids = batch.item_ids.shape, batch.item_ids
        age = batch.valid_mask.sum(dim=1, keepdim=True) - 1 - torch.arange(shape[1]).to(ids)
        age = age.clamp_min(0)  # of padding: else its weight is infinite, and that times 0 is none
        weights = torch.exp(-age / self._decay) * batch.valid_mask
        weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(SMALLEST_LENGTH)
        if self._frozen is not None:
            vectors, index = self._frozen, ids
        else:
            unique_ids, index = torch.unique(ids, return_inverse=True)
            vectors = self._vectors(unique_ids)
        content = vectors.new_zeros(shape[0], 0)
        if vectors.shape[1]:  # of no width torch's reads where nothing is
            content = F.embedding_bag(index, vectors, per_sample_weights=weights, mode="sum")
        rows = torch.arange(shape[0], device=ids.device)[:, None]
        counts = content.new_zeros(shape[0], self._num_items + 1)
        votes = self._count_weight * self.neighbor_counts[ids] * weights[:, :, None]  # (B, L, K)
        places = self.neighbor_ids[ids].flatten(1).long()
        counts = counts.index_put((rows, places), votes.flatten(1), accumulate=True)
        own = vectors.square().sum(dim=1)[index]  # what an item's content would say of itself
        counts = counts.index_put((rows, ids), -own * weights, accumulate=True)
        return torch.cat([content, counts], dim=1)

    def candidates(self, item_ids: Tensor) -> tuple[Tensor, Tensor]:
        """(C, W) what items are like, and (C,) the items."""
        if self._frozen is not None:
            return self._frozen[item_ids], item_ids
        return self._vectors(item_ids), item_ids

    def score(self, encoded: Tensor, candidates: tuple[Tensor, Tensor]) -> Tensor:
        """(B, C) the votes of the histories (B, W + N + 1) for items."""
        vectors, item_ids = candidates
        content, counts = encoded[:, : vectors.shape[1]], encoded[:, vectors.shape[1] :]
        return inner_products(content, vectors) + counts[:, item_ids]

    @torch.no_grad()
    def freeze_items(self) -> None:
        """Reads the features of all items once, see `FreezesItems`."""
        self._frozen = self._vectors(torch.arange(self._num_items + 1).to(self.neighbor_ids.device))

    def _load_from_state_dict(
        self, state_dict: MutableMapping[str, Any], prefix: str, *arguments: Any
    ) -> None:
        ids = state_dict.get(f"{prefix}neighbor_ids", self.neighbor_ids)
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) <= self._num_items:
            raise RuntimeError(f"{prefix}neighbor_ids names items that are not there")
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _vectors(self, item_ids: Tensor) -> Tensor:
        """(U, W) float32 items by content: of S sets a vector of length 1 / sqrt(S) each."""
        if not self._features.modalities:
            return self.neighbor_counts.new_zeros(len(item_ids), 0)
        present = self._features.present(item_ids)
        sets = []
        for place, standardized in enumerate(self.content.values()):
            index = present[place].nonzero().squeeze(1)
            features = standardized(self._features.lookup(place, item_ids[index]))
            unit = single(F.normalize(features, dim=-1)) / math.sqrt(len(present))
            sets.append(spread_rows(unit, index, len(item_ids)))
        return torch.cat(sets, dim=1)


def _near_each_other(
    sequences: TrainSequences, shape: tuple[int, int], *, decay: float
) -> csr_array:
    """(N + 1, N + 1) float32, how often items stand near each other, the nearer the more."""
    total = csr_array(shape, dtype=np.float32)
    longest = int((sequences.ends - sequences.starts).max()) if len(sequences.starts) else 0
    farthest = min(1 - decay * math.log(_LEAST_WEIGHT), longest - 1)
    for distance in range(1, math.floor(farthest) + 1):
        before, after = (ids.numpy() for ids in sequences.pairs(distance))
        apart = before != after
        weights = np.full(apart.sum(), math.exp(-(distance - 1) / decay), dtype=np.float32)
        total += csr_array((weights, (before[apart], after[apart])), shape=shape)
    return csr_array(total + total.T)


def _largest(counts: csr_array, number: int) -> tuple[Tensor, Tensor]:
    """(N + 1, K) int32 ids and (N + 1, K) float32 the largest counts of each row, 0 where fewer.

    Of equal counts the lower id comes first.
    """
    entries = counts.tocoo()
    order = np.lexsort((entries.col, -entries.data, entries.row))
    rows, columns, values = entries.row[order], entries.col[order], entries.data[order]
    starts = np.searchsorted(rows, np.arange(counts.shape[0]))
    places = np.arange(len(rows)) - starts[rows]
    kept = places < number
    ids = np.zeros((counts.shape[0], number), dtype=np.int32)
    largest = np.zeros((counts.shape[0], number), dtype=np.float32)
    ids[rows[kept], places[kept]] = columns[kept]
    largest[rows[kept], places[kept]] = values[kept]
    return torch.from_numpy(ids), torch.from_numpy(largest)
