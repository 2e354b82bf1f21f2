"""A floor: what most often came right after the last item."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from missrec.types import Catalogue, SequenceBatch, TrainingLoss


class LastItemTransition(nn.Module):
    """Scores an item by how often it followed the last item of the history; nothing is learned.

    A first-order Markov chain by counting, over the training sequences. What never followed is
    ordered by its training count, which adds less than one transition.
    """

    starts: Tensor
    next_items: Tensor
    next_counts: Tensor
    popularity: Tensor

    def __init__(self, *, catalogue: Catalogue) -> None:
        """Counts the transitions."""
        super().__init__()
        base = catalogue.num_items + 1
        before, after = catalogue.train_sequences.pairs(1)
        pairs, counts = torch.unique(before * base + after, return_counts=True)
        followers = (pairs // base).bincount(minlength=base)
        starts = torch.cat([followers.new_zeros(1), followers.cumsum(0)])
        popularity = catalogue.train_counts / (catalogue.train_counts.max() + 1).double()
        # They follow from the data, so no checkpoint needs them.
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("next_items", pairs % base, persistent=False)
        self.register_buffer("next_counts", counts.double(), persistent=False)
        self.register_buffer("popularity", popularity, persistent=False)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """Never called: a model without parameters is not trained.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("LastItemTransition has nothing to train")

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B,) the last items."""
        last = batch.valid_mask.sum(dim=1, keepdim=True) - 1
        return batch.item_ids.gather(1, last).squeeze(1)

    def candidates(self, item_ids: Tensor) -> Tensor:
        """(C,) the items themselves."""
        return item_ids

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        """(B, C) float64 transitions from the last item, plus the popularity in [0, 1)."""
        distinct, places = torch.unique(candidates, return_inverse=True)
        num_followers = self.starts[encoded + 1] - self.starts[encoded]
        rows = torch.arange(len(encoded), device=encoded.device).repeat_interleave(num_followers)
        firsts = num_followers.cumsum(0) - num_followers
        shifts = self.starts[encoded] - firsts
        entries = torch.arange(len(rows), device=encoded.device) + shifts[rows]
        columns = torch.searchsorted(distinct, self.next_items[entries])
        columns = columns.clamp_max(len(distinct) - 1)
        asked = distinct[columns] == self.next_items[entries]
        scores = self.popularity[distinct].repeat(len(encoded), 1)
        added = self.next_counts[entries[asked]]
        scores = scores.index_put((rows[asked], columns[asked]), added, accumulate=True)
        return scores[:, places]
