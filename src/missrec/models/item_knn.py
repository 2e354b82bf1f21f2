"""A floor, and a high one: item-based nearest neighbors by co-occurrence and content."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from missrec.nn.item_neighbors import ItemNeighbors
from missrec.types import Catalogue, InputsError, SequenceBatch, TrainingLoss


class ItemKNN(nn.Module):
    """Scores an item by `ItemNeighbors` of the history; nothing is learned."""

    def __init__(
        self, *, catalogue: Catalogue, neighbors: Callable[..., ItemNeighbors], item_ids: bool
    ) -> None:
        """Counts.

        Args:
            catalogue: the items of the run.
            neighbors: makes them of a catalogue.
            item_ids: transductive rather than inductive.

        Raises:
            InputsError: neither ids are in use, which are what is counted, nor features.
        """
        super().__init__()
        self.scores_by_id = not catalogue.features.modalities
        if self.scores_by_id and not item_ids:
            raise InputsError("neighbors are found by ids or by features, and neither is in use")
        self.neighbors = neighbors(catalogue=catalogue, item_ids=item_ids)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """Never called: a model without parameters is not trained.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("ItemKNN has nothing to train")

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, W + N + 1), see `ItemNeighbors.encode`."""
        return self.neighbors.encode(batch)

    def candidates(self, item_ids: Tensor) -> tuple[Tensor, Tensor]:
        """(C, W) what items are like, and (C,) the items."""
        return self.neighbors.candidates(item_ids)

    def score(self, encoded: Tensor, candidates: tuple[Tensor, Tensor]) -> Tensor:
        """(B, C) the votes."""
        return self.neighbors.score(encoded, candidates)
