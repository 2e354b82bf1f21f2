"""Sequence-item objectives: which candidates a history ranks in training, and the loss."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class RankingObjective(Protocol):
    """Chooses the candidates of a batch and turns their logits into a loss."""

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """(C,) distinct ascending item ids, every target (B,) among them."""

    def __call__(self, logits: Tensor, target_index: Tensor) -> Tensor:
        """() mean loss from logits (B, C) and the column (B,) of each target."""


class InBatchSoftmax:
    """Sequence-item contrastive loss against the targets of the batch (MISSRec Eq. 5).

    Every distinct target is one column, scored once; a target that occurs n times in the batch
    counts n times in the sum over j, as in Eq. 5.

    **Differs**: columns that repeat the row's own positive are left out of its sum, since they
    are no negatives.
    """

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """The distinct targets."""
        distinct: Tensor = torch.unique(target_ids)
        return distinct

    def __call__(self, logits: Tensor, target_index: Tensor) -> Tensor:
        """() mean over the batch."""
        counts = target_index.bincount(minlength=logits.shape[1])
        # exp(s + log n) = n exp(s); the row's own positive counts once.
        weights = counts.log().to(logits.dtype).repeat(len(logits), 1)
        weights.scatter_(1, target_index[:, None], 0.0)
        return F.cross_entropy(logits + weights, target_index)


class FullSoftmax:
    """Softmax over the whole catalogue (MISSRec Eq. 9 and 10 as the training loss)."""

    def __init__(self, *, padding_candidate: bool) -> None:
        """Loss over items 1..N.

        Args:
            padding_candidate: item 0, the padding, is a candidate too, as in the released code.
        """
        self._first_item = 0 if padding_candidate else 1

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """All items."""
        return torch.arange(self._first_item, num_items + 1, device=target_ids.device)

    def __call__(self, logits: Tensor, target_index: Tensor) -> Tensor:
        """() mean over the batch."""
        return F.cross_entropy(logits, target_index)
