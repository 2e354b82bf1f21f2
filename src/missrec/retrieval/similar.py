"""Items by the vectors of items: which are alike, whoever asks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors


def item_embeddings(vectors: ItemVectors) -> Tensor:
    """(C, D) float32 at unit length, one vector for each item; zeros of an item without any.

    The mean of the tokens that the item has, times `modality_weight`, plus what its id adds: with
    alpha = 0 and without a bias, a user's score is the inner product with it before it is taken
    at unit length.
    """
    count = vectors.present.sum(dim=0).clamp_min(1)[:, None]
    embeddings = vectors.modality_weight * vectors.tokens.sum(dim=0) / count
    if vectors.ids is not None:
        embeddings = embeddings + vectors.ids
    return F.normalize(embeddings.float(), dim=-1)


def similarity_table(table: ItemTable) -> ItemTable:
    """The table in which an item's score for another one is the cosine of their embeddings."""
    embeddings = item_embeddings(table.vectors)
    alike = ItemVectors(
        modalities=("item",),
        tokens=embeddings[None],
        present=torch.ones(1, len(embeddings), dtype=torch.bool, device=embeddings.device),
        alpha=embeddings.new_zeros(()),
        modality_weight=1.0,
        ids=None,
        bias=None,
    )
    return ItemTable(alike, key_ranks=table.places)
