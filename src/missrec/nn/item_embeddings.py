"""One embedding an item, learned by id or adapted from its features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.types import Catalogue


class IdEmbedding(nn.Embedding):
    """A learned vector for each item of one catalogue; zeros for padding."""

    def __init__(self, *, catalogue: Catalogue, embed_dim: int, init_std: float) -> None:
        """N + 1 vectors, normal with `init_std`."""
        super().__init__(catalogue.num_items + 1, embed_dim, padding_idx=0)
        nn.init.normal_(self.weight[1:].detach(), std=init_std)


class FeatureEmbedding(nn.Module):
    """The adapted features of one modality.

    **Differs** from the public codes of UniSRec and its kin, which adapt a zero vector: an item
    without the feature is the zero vector itself, as everywhere in this project. And an item
    passes the adapter once a call, however often it occurs there, so what the adapter draws at
    random is drawn once too.
    """

    def __init__(
        self, *, catalogue: Catalogue, embed_dim: int, adapter: Callable[[int, int], nn.Module]
    ) -> None:
        """The adapter of the only modality in use.

        Args:
            catalogue: with the features of one modality.
            embed_dim: D.
            adapter: (F, D) -> module.

        Raises:
            ValueError: no modality is in use, or several are.
        """
        super().__init__()
        self.features = catalogue.features
        if self.features.num_modalities != 1:
            raise ValueError(
                f"this model reads one modality, not {self.features.modalities or 'none'}; choose "
                "inputs=text or inputs=image"
            )
        self.adapter = adapter(self.features.dims[0], embed_dim)
        self._embed_dim = embed_dim

    def forward(
        self, item_ids: Tensor, *, augment: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """(..., D) of items (...); zeros for padding and for an item without the feature.

        Args:
            item_ids: (...).
            augment: changes the raw features (P, F) before the adapter.
        """
        unique_ids, inverse = torch.unique(item_ids, return_inverse=True)
        exists = self.features.present(unique_ids)[0]
        features = self.features.lookup(0, unique_ids[exists])
        adapted = self.adapter(features if augment is None else augment(features))
        embeddings = adapted.new_zeros(len(unique_ids), self._embed_dim)
        return F.embedding(inverse, embeddings.index_put((exists,), adapted))
