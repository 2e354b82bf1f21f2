"""MISSRec+: voters of one feature set each, and the neighbors of the items of the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from missrec.models.voters import Voters
from missrec.nn.item_neighbors import ItemNeighbors
from missrec.types import Catalogue, SequenceBatch


class MISSRecPlus(Voters):
    """The score is that of the voters, plus the votes of `ItemNeighbors` times their weight.

    The voters learn as they do alone. What stood beside an item twice a network forgets, a count
    does not; what nobody bought together the network guesses better.

    **Differs** from MISSRec (Wang et al., ACM MM 2023), see `Voters`.
    """

    domain_bound = ("item_embeddings", "neighbors")
    # Counts are no product of vectors.
    item_vectors = None  # type: ignore[assignment]

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        item_ids: bool,
        neighbors: Callable[..., ItemNeighbors] | None = None,
        neighbors_weight: float = 0.0,
        **voters: Any,
    ) -> None:
        """Builds both.

        Args:
            catalogue: the items of the run.
            item_ids: transductive rather than inductive.
            neighbors: makes them of a catalogue; None, as runs had before there were any: voters
                alone.
            neighbors_weight: of the neighbors' votes beside the mean cosine of the voters.
            voters: see `Voters`.

        Raises:
            InputsError, ValueError: see `Voters`.
        """
        super().__init__(catalogue=catalogue, item_ids=item_ids, **voters)
        self._neighbors_weight = neighbors_weight
        self.neighbors: ItemNeighbors | None = None
        if neighbors is not None:
            self.neighbors = neighbors(catalogue=catalogue, item_ids=item_ids)

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, V D + W + N + 1) what the voters say, beside what the neighbors do."""
        users = super().encode(batch)
        if self.neighbors is None:
            return users
        return torch.cat([users, self._neighbors_weight * self.neighbors.encode(batch)], dim=1)

    def candidates(self, item_ids: Tensor) -> Any:
        """The voters' (C, V D) items, and those of the neighbors."""
        voters = super().candidates(item_ids)
        return voters if self.neighbors is None else (voters, self.neighbors.candidates(item_ids))

    def score(self, encoded: Tensor, candidates: Any) -> Tensor:
        """(B, C) the sum of both."""
        if self.neighbors is None:
            return super().score(encoded, candidates)
        ours, theirs = candidates
        users, read = encoded[:, : ours.shape[1]], encoded[:, ours.shape[1] :]
        return super().score(users, ours) + self.neighbors.score(read, theirs)

    def freeze_items(self) -> None:
        """Adapts the features of all items once, see `FreezesItems`."""
        super().freeze_items()
        if self.neighbors is not None:
            self.neighbors.freeze_items()
