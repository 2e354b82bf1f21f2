"""A floor: the items whose features are nearest to those of the last item."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.item_embeddings import FeatureEmbedding
from missrec.nn.precision import inner_products
from missrec.types import Catalogue, InputsError, ItemVectors, SequenceBatch, TrainingLoss


class NearestNeighbor(nn.Module):
    """Scores an item by the cosine of its raw features and the last item's; nothing is learned.

    The last item is the most recent one that has the feature. Items without it score 0, and so
    does everything for a history without any.
    """

    def __init__(self, *, catalogue: Catalogue) -> None:
        """Takes the features of one modality.

        Raises:
            ValueError: no modality is in use, or several are.
        """
        super().__init__()
        modalities, widths = catalogue.features.modalities, catalogue.features.dims
        if len(modalities) != 1:
            raise InputsError(
                f"this model compares the features of one modality, not {modalities or 'none'}"
            )
        self.items = FeatureEmbedding(
            catalogue=catalogue, embed_dim=widths[0], adapter=lambda *widths: nn.Identity()
        )

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """Never called: a model without parameters is not trained.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("NearestNeighbor has nothing to train")

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, F) unit features of the last item that has any; zeros without one."""
        exists = self.items.exist(batch.item_ids)  # (B, L)
        steps = torch.arange(exists.shape[1], device=exists.device)
        last = torch.where(exists, steps, 0).amax(dim=1, keepdim=True)
        return self.candidates(batch.item_ids.gather(1, last).squeeze(1))

    def candidates(self, item_ids: Tensor) -> Tensor:
        """(C, F) unit features; zeros where an item has none."""
        return F.normalize(self.items(item_ids), dim=-1)

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        """(B, C) cosines."""
        return inner_products(encoded, candidates)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that `score` follows from."""
        return self.items.item_vectors(item_ids).divided_by(self.items(item_ids).norm(dim=-1))
