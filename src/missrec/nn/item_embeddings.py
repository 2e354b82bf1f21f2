"""One embedding an item, learned by id or adapted from its features.

M modalities, U distinct items of a call.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.adapters import modality_adapters
from missrec.types import Catalogue, InputsError, ItemRows

Augmentation = Callable[[str, Tensor, Tensor], Tensor]
"""Modality, items (P,), raw features (P, F) -> features (P, F)."""


class IdEmbedding(nn.Embedding):
    """A learned vector for each item of one catalogue; zeros for padding."""

    item_rows = (ItemRows("weight", dim=0, is_id=True),)

    def __init__(self, *, catalogue: Catalogue, embed_dim: int, init_std: float) -> None:
        """N + 1 vectors, normal with `init_std`."""
        super().__init__(catalogue.num_items + 1, embed_dim, padding_idx=0)
        nn.init.normal_(self.weight[1:].detach(), std=init_std)


class FeatureEmbedding(nn.Module):
    """The adapted features of an item, the mean over the modalities that it has.

    **Differs** from the public codes of UniSRec and its kin, which read texts alone and adapt a
    zero vector: an item without any feature is the zero vector itself, as everywhere in this
    project. And an item passes an adapter once a call, however often it occurs there, so what the
    adapter draws at random is drawn once too.
    """

    def __init__(
        self, *, catalogue: Catalogue, embed_dim: int, adapter: Callable[[int, int], nn.Module]
    ) -> None:
        """An adapter for each modality in use.

        Args:
            catalogue: with features.
            embed_dim: D.
            adapter: (F, D) -> module.

        Raises:
            InputsError: no modality is in use.
        """
        super().__init__()
        self.features = catalogue.features
        if not self.features.modalities:
            raise InputsError("this model reads features, and the inputs are ids alone")
        self.adapter = modality_adapters(self.features, embed_dim=embed_dim, adapter=adapter)

    def forward(self, item_ids: Tensor, *, augment: Augmentation | None = None) -> Tensor:
        """(..., D) of items (...); zeros for padding and for an item without any feature.

        Args:
            item_ids: (...).
            augment: changes the raw features before the adapter.
        """
        unique_ids, inverse = torch.unique(item_ids, return_inverse=True)
        present = self.features.present(unique_ids)  # (M, U)
        by_modality = []
        for modality, (name, adapter) in enumerate(self.adapter.items()):
            index = present[modality].nonzero().squeeze(1)  # once: a device is waited for
            features = self.features.lookup(modality, unique_ids[index])
            if augment is not None:
                features = augment(name, unique_ids[index], features)
            adapted = adapter(features)
            by_modality.append(spread_rows(adapted, index, num_rows=len(unique_ids)))
        embeddings = torch.stack(by_modality).sum(dim=0)
        return F.embedding(inverse, embeddings / present.sum(dim=0).clamp_min(1)[:, None])

    def exist(self, item_ids: Tensor) -> Tensor:
        """(...) bool, True where the item of `item_ids` (...) has a feature."""
        return self.features.present(item_ids).any(dim=0)


def spread_rows(values: Tensor, index: Tensor, *, num_rows: int) -> Tensor:
    """(num_rows, ...) zeros with `values` (P, ...) in the rows `index` (P,), each there once."""
    return values.new_zeros(num_rows, *values.shape[1:]).index_copy(0, index, values)
