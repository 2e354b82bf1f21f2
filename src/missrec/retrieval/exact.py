"""Exact search: the whole catalogue in blocks of float32 products, the best again in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from missrec.nn.fusion import fuse
from missrec.nn.precision import full_precision
from missrec.retrieval.best import Best, WantedPlaces
from missrec.retrieval.rounding import Rounding, rounded_down
from missrec.retrieval.search import TopK, Wanted, checked_users
from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors

_FEW_ITEMS = 2048
"""So many allowed items are scored exactly at once."""


class ExactSearch:
    """The best items by exact score, with proof.

    A block of items is scored in float32, as the model does. `Rounding` says by how much such a
    score may differ from the exact one; an item whose float32 score is further below the K-th
    exact score found so far cannot be among the best. The others are scored again in float64.
    Blocks come in the order of the keys: an item that only equals the K-th score comes too late.
    """

    items_per_block = 8192

    def __init__(self, table: ItemTable, *, items_per_block: int = items_per_block) -> None:
        """Keeps the table.

        Args:
            table: the catalogue.
            items_per_block: items scored at a time.
        """
        self._table = table
        self._blocks = [
            (start, min(start + items_per_block, len(table)))
            for start in range(0, len(table), items_per_block)
        ]
        self._rounding = [Rounding.of(table.at(slice(start, stop))) for start, stop in self._blocks]

    @torch.no_grad()
    def top_k(self, encoded: Tensor, *, k: int, wanted: Wanted) -> TopK:
        """See `Search`."""
        encoded = checked_users(encoded, k=k).float()
        table = self._table
        asked = WantedPlaces(wanted, items=table.items, places=table.places)
        best = Best(len(encoded), k=min(k, len(table)), device=encoded.device)
        if asked.allowed is not None and asked.num_allowed <= _FEW_ITEMS:
            score_all(table, encoded, asked.allowed.nonzero().squeeze(1), asked, best)
            return best.as_items(table.items, k=k)
        lengths = encoded.double().norm(dim=1)
        with full_precision(encoded.device.type):
            for (start, stop), rounding in zip(self._blocks, self._rounding, strict=True):
                where = asked.places_of(start, stop)
                scores = block_scores(encoded, table.at(where))
                scores = asked.only_wanted(scores, where)
                margin = rounding.margin(lengths)
                users, columns = candidates(scores, k=best.k, lowest=best.lowest, margin=margin)
                places = columns + start if isinstance(where, slice) else where[columns]
                best.add(users, places, table.pair_scores_at(encoded, users, places).total)
        return best.as_items(table.items, k=k)


def candidates(scores: Tensor, *, k: int, lowest: Tensor, margin: Tensor) -> tuple[Tensor, Tensor]:
    """(P,) users and (P,) columns that may be among the best.

    Args:
        scores: (B, C) of a block; -inf where an item is not wanted.
        k: K.
        lowest: (B,) float64, the K-th score so far.
        margin: (B,) float64, how far a score may be from the exact one.
    """
    # An item must beat the K-th so far; and if K of the block are surely better, it is not needed.
    bar = rounded_down(lowest - margin).to(scores.dtype)
    found = _above(scores, bar)
    if len(found) > len(scores) * k and scores.shape[1] > k:
        own = rounded_down(scores.topk(k, dim=1).values[:, -1].double() - 2 * margin)
        below = torch.nextafter(own, torch.full_like(own, -math.inf)).to(scores.dtype)
        found = _above(scores, torch.maximum(bar, below))
    users, columns = found.unbind(dim=1)
    return users, columns


def _above(scores: Tensor, bar: Tensor) -> Tensor:
    """(P, 2) users and columns above the bar (B,); what is no number is below nothing."""
    return (scores <= bar[:, None]).logical_not_().nonzero()


def block_scores(encoded: Tensor, vectors: ItemVectors) -> Tensor:
    """(B, C) float32 scores of users (B, D) and items (C,)."""
    by_modality = encoded @ vectors.tokens.transpose(-2, -1)  # (M, B, C)
    scores = fuse(by_modality, vectors.present, vectors.alpha)
    if vectors.modality_weight != 1:
        scores = scores * vectors.modality_weight
    if vectors.ids is not None:
        scores = torch.addmm(scores, encoded, vectors.ids.T)
    return scores if vectors.bias is None else scores + vectors.bias


def score_all(
    table: ItemTable, encoded: Tensor, places: Tensor, asked: WantedPlaces, best: Best
) -> None:
    """Adds all that users may get of a few items to the best.

    Args:
        table: the catalogue.
        encoded: (B, D).
        places: (C,) of the items.
        asked: what users may get.
        best: holds none of the places.
    """
    users = torch.arange(len(encoded), device=places.device).repeat_interleave(len(places))
    places = places.repeat(len(encoded))
    kept = asked.keeps(users, places)
    users, places = users[kept], places[kept]
    best.add(users, places, table.pair_scores_at(encoded, users, places).total)
