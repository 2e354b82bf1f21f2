"""The floor of every table: the most popular items, the same for everyone."""

from __future__ import annotations

from torch import Tensor, nn

from missrec.nn.item_embeddings import mean_of
from missrec.types import Catalogue, ItemRows, ItemVectors, SequenceBatch, TrainingLoss


class MostPopular(nn.Module):
    """Scores an item by how often it occurs in the training sequences; nothing is learned."""

    item_rows = (ItemRows("train_counts", dim=0, is_id=False),)
    train_counts: Tensor

    def __init__(self, *, catalogue: Catalogue) -> None:
        """Keeps the counts."""
        super().__init__()
        self.register_buffer("train_counts", catalogue.train_counts)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """Never called: a model without parameters is not trained.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("MostPopular has nothing to train")

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, 0): nothing of the history is used."""
        return batch.item_ids.new_zeros(batch.item_ids.shape[0], 0)

    def candidates(self, item_ids: Tensor) -> Tensor:
        """(C,) float32 training counts."""
        return self.train_counts[item_ids].float()

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        """(B, C) the counts, for every history."""
        return candidates.expand(encoded.shape[0], -1)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that `score` follows from."""
        counts = self.candidates(item_ids)
        none = counts.new_zeros(0, len(counts), 0)
        return mean_of((), none, present=none.any(dim=-1))._replace(bias=counts)
