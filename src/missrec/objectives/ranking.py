"""Sequence-item objectives: which candidates a history ranks in training, and the loss."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.distributed import batch_mean, batch_total, gather
from missrec.types import Recommender


class RankingObjective(Protocol):
    """Chooses the candidates of a batch and turns their logits into a loss."""

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """(C,) distinct ascending item ids, every target (B,) among them."""

    def __call__(
        self, logits: Tensor, target_index: Tensor, *, own_negatives: Tensor | None = None
    ) -> Tensor:
        """() mean loss; of several processes this one's part of it, see `batch_mean`.

        Args:
            logits: (B, C) of the candidates.
            target_index: (B,) the column of each target.
            own_negatives: (B, K) logits of further negatives, made for their row alone.
        """


def next_item_loss(
    objective: RankingObjective,
    model: Recommender,
    encoded: Tensor,
    target_ids: Tensor,
    *,
    num_items: int,
    temperature: float | None = None,
) -> Tensor:
    """() the objective's loss of the scores that a model gives the candidates.

    Args:
        objective: chooses the candidates.
        model: scores them.
        encoded: (B, ...) histories, as `score` of the model takes them.
        target_ids: (B,) the next item of each.
        num_items: N.
        temperature: scores are divided by it; None leaves them as they are.
    """
    candidate_ids = objective.candidate_ids(target_ids, num_items=num_items)
    scores = model.score(encoded, model.candidates(candidate_ids))
    logits = scores if temperature is None else scores / temperature
    return objective(logits, torch.searchsorted(candidate_ids, target_ids))


class InBatchSoftmax:
    """Sequence-item contrastive loss against the targets of the batch (MISSRec Eq. 5).

    Every distinct target is one column, scored once; a target that occurs n times in the batch
    counts n times in the sum over j, as in Eq. 5. The batch is that of all processes: each scores
    its own rows against the targets of all, whose embeddings it computes itself, with gradients.

    **Differs**: columns that repeat the row's own positive are left out of its sum, since they
    are no negatives.
    """

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """The distinct targets."""
        distinct: Tensor = torch.unique(gather(target_ids).rows)
        return distinct

    def __call__(
        self, logits: Tensor, target_index: Tensor, *, own_negatives: Tensor | None = None
    ) -> Tensor:
        """() mean over the batch."""
        counts = batch_total(target_index.bincount(minlength=logits.shape[1]))
        # exp(s + log n) = n exp(s); the row's own positive counts once.
        weights = counts.log().to(logits.dtype).repeat(len(logits), 1)
        weights.scatter_(1, target_index[:, None], 0.0)
        return _softmax_loss(logits + weights, target_index, own_negatives)


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

    def __call__(
        self, logits: Tensor, target_index: Tensor, *, own_negatives: Tensor | None = None
    ) -> Tensor:
        """() mean over the batch."""
        return _softmax_loss(logits, target_index, own_negatives)


class GeneralizedBCE:
    """Binary cross-entropy with sampled negatives, calibrated against overconfidence.

    **Source**: gSASRec (Petrov and Macdonald, RecSys 2023), equations 10-12: the probability of
    the positive is taken to the power beta, which makes up for the negatives that are not sampled.
    **Differs**: the negatives of a sequence, uniform over the other items, are drawn from the
    scores of the whole catalogue; the loss is that of the paper, its saving of memory is not.
    """

    def __init__(self, *, num_negatives: int, calibration: float) -> None:
        """Loss with `num_negatives` negatives a target.

        Args:
            num_negatives: k, at least 1.
            calibration: t in [0, 1]; 0 is plain BCE, 1 makes sigmoid(score) a probability.

        Raises:
            ValueError: num_negatives or calibration is outside its range.
        """
        if num_negatives < 1:
            raise ValueError(f"num_negatives ({num_negatives}) must be at least 1")
        if not 0 <= calibration <= 1:
            raise ValueError(f"calibration ({calibration}) must be in [0, 1]")
        self._num_negatives = num_negatives
        self._calibration = calibration

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """All items."""
        return torch.arange(1, num_items + 1, device=target_ids.device)

    def __call__(
        self, logits: Tensor, target_index: Tensor, *, own_negatives: Tensor | None = None
    ) -> Tensor:
        """() mean over the batch and over positive and negatives."""
        num_others = logits.shape[1] - 1
        sampled = torch.randint(
            num_others, (len(logits), self._num_negatives), device=logits.device
        )
        sampled = sampled + (sampled >= target_index[:, None]).long()  # leaves the target out
        positive = logits.gather(1, target_index[:, None])
        negative = logits.gather(1, sampled)
        rate = self._num_negatives / num_others  # alpha
        beta = rate * (self._calibration * (1 - 1 / rate) + 1 / rate)
        negative = _beside(negative, own_negatives)
        losses = -torch.cat([beta * F.logsigmoid(positive), F.logsigmoid(-negative)], dim=1)
        return batch_mean(losses.mean(), count=losses.numel())


def _softmax_loss(logits: Tensor, target_index: Tensor, own_negatives: Tensor | None) -> Tensor:
    loss = F.cross_entropy(_beside(logits, own_negatives), target_index)
    return batch_mean(loss, count=len(logits))


def _beside(logits: Tensor, own_negatives: Tensor | None) -> Tensor:
    return logits if own_negatives is None else torch.cat([logits, own_negatives], dim=1)
