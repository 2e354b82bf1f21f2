"""Sequence-item objectives: which candidates a history ranks in training, and the loss."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.distributed import batch_mean, batch_total, gather
from missrec.objectives.blocks import (
    Score,
    block_columns,
    default_score_bytes,
    softmax_parts,
)
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


@runtime_checkable
class AsksForScores(Protocol):
    """An objective that asks the model for those scores alone that it wants."""

    def loss_of(
        self,
        score: Score,
        encoded: Tensor,
        candidates: Any,
        target_index: Tensor,
        *,
        num_candidates: int,
        temperature: float | None,
        own_negatives: Tensor | None,
    ) -> Tensor:
        """() this process's part of the loss; arguments as those of `candidate_loss`."""


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
    return candidate_loss(
        objective,
        model.score,
        encoded,
        model.candidates(candidate_ids),
        torch.searchsorted(candidate_ids, target_ids),
        num_candidates=len(candidate_ids),
        temperature=temperature,
    )


def candidate_loss(
    objective: RankingObjective,
    score: Score,
    encoded: Tensor,
    candidates: Any,
    target_index: Tensor,
    *,
    num_candidates: int,
    temperature: float | None = None,
    own_negatives: Tensor | None = None,
) -> Tensor:
    """() the objective's loss of the scores of these candidates, in blocks where it takes them so.

    Args:
        objective: the loss.
        score: of a model, see `Recommender.score`.
        encoded: (B, ...) histories.
        candidates: as `score` takes them, C of them.
        target_index: (B,) which candidate each target is.
        num_candidates: C.
        temperature: scores are divided by it; None leaves them as they are.
        own_negatives: (B, K) logits of further negatives, made for their row alone.
    """
    if isinstance(objective, AsksForScores):
        return objective.loss_of(
            score,
            encoded,
            candidates,
            target_index,
            num_candidates=num_candidates,
            temperature=temperature,
            own_negatives=own_negatives,
        )
    if isinstance(objective, FullSoftmax):
        columns = objective.columns(len(target_index), num_candidates, device=encoded.device)
        if columns < num_candidates:
            total, own = softmax_parts(
                score,
                encoded,
                candidates,
                target_index,
                num_candidates=num_candidates,
                temperature=temperature,
                columns=columns,
            )
            return objective.from_parts(total, own, own_negatives=own_negatives)
    scores = score(encoded, candidates)
    logits = scores if temperature is None else scores / temperature
    return objective(logits, target_index, own_negatives=own_negatives)


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
        return weighted_softmax_loss(logits, counts.log(), target_index, own_negatives)


class FullSoftmax:
    """Softmax over the whole catalogue (MISSRec Eq. 9 and 10 as the training loss).

    Where the scores of a batch would take much memory they are computed in blocks, see
    `softmax_parts`.
    """

    def __init__(self, *, padding_candidate: bool, score_bytes: int | None = None) -> None:
        """Loss over items 1..N.

        Args:
            padding_candidate: item 0, the padding, is a candidate too, as in the released code.
            score_bytes: of the scores that may exist together; None: see `default_score_bytes`.

        Raises:
            ValueError: score_bytes is below 1.
        """
        if score_bytes is not None and score_bytes < 1:
            raise ValueError(f"score_bytes ({score_bytes}) must be at least 1")
        self._first_item = 0 if padding_candidate else 1
        self._score_bytes = score_bytes

    def columns(self, num_rows: int, num_candidates: int, *, device: torch.device) -> int:
        """How many candidates are scored at a time: all of them while their scores may exist."""
        limit = self._score_bytes or default_score_bytes(device)
        if 4 * num_rows * num_candidates <= limit:
            return num_candidates
        return block_columns(num_rows, score_bytes=limit, device=device)

    def from_parts(
        self, total: Tensor, own: Tensor, *, own_negatives: Tensor | None = None
    ) -> Tensor:
        """() mean over the batch, see `softmax_parts`.

        Args:
            total: (B,) log sum exp of the logits of all candidates.
            own: (B,) logits of the targets.
            own_negatives: (B, K) logits of further negatives, made for their row alone.
        """
        total = _beside(total[:, None], own_negatives).logsumexp(dim=1)
        return batch_mean((total - own).mean(), count=len(own))

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """All items."""
        return torch.arange(self._first_item, num_items + 1, device=target_ids.device)

    def __call__(
        self, logits: Tensor, target_index: Tensor, *, own_negatives: Tensor | None = None
    ) -> Tensor:
        """() mean over the batch."""
        return softmax_loss(logits, target_index, own_negatives)


class GeneralizedBCE:
    """Binary cross-entropy with sampled negatives, calibrated against overconfidence.

    **Source**: gSASRec (Petrov and Macdonald, RecSys 2023), equations 10-12: the probability of
    the positive is taken to the power beta, which makes up for the negatives that are not sampled.
    The negatives of a history are drawn uniformly from the items that are not its target.
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
        self._num_others = 0
        self._negatives = torch.empty(0)

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """The distinct targets and drawn items; which are whose negatives is kept for the loss."""
        self._num_others = num_items - 1
        size = (len(target_ids), self._num_negatives)
        drawn = 1 + torch.randint(self._num_others, size, device=target_ids.device)
        drawn = drawn + (drawn >= target_ids[:, None]).long()  # leaves the target out
        distinct: Tensor
        distinct, places = torch.unique(
            torch.cat([target_ids, drawn.flatten()]), return_inverse=True
        )
        self._negatives = places[len(target_ids) :].view(size)
        return distinct

    def __call__(
        self, logits: Tensor, target_index: Tensor, *, own_negatives: Tensor | None = None
    ) -> Tensor:
        """() mean over the batch and over positive and negatives."""
        positive = logits.gather(1, target_index[:, None])
        negative = logits.gather(1, self._negatives)
        rate = self._num_negatives / self._num_others  # alpha
        beta = rate * (self._calibration * (1 - 1 / rate) + 1 / rate)
        negative = _beside(negative, own_negatives)
        losses = -torch.cat([beta * F.logsigmoid(positive), F.logsigmoid(-negative)], dim=1)
        return batch_mean(losses.mean(), count=losses.numel())


def weighted_softmax_loss(
    logits: Tensor, log_weights: Tensor, target_index: Tensor, own_negatives: Tensor | None
) -> Tensor:
    """As `softmax_loss`, where a candidate counts so many times; the row's own positive once.

    Args:
        logits: (B, C).
        log_weights: (C,) logarithms of how often each counts: exp(s + log n) = n exp(s).
        target_index: (B,).
        own_negatives: (B, K) or None.
    """
    weights = log_weights.to(logits.dtype).repeat(len(logits), 1)
    weights.scatter_(1, target_index[:, None], 0.0)
    return softmax_loss(logits + weights, target_index, own_negatives)


def softmax_loss(logits: Tensor, target_index: Tensor, own_negatives: Tensor | None) -> Tensor:
    """() this process's part of the mean cross-entropy, see `RankingObjective`."""
    loss = F.cross_entropy(_beside(logits, own_negatives), target_index)
    return batch_mean(loss, count=len(logits))


def _beside(logits: Tensor, own_negatives: Tensor | None) -> Tensor:
    return logits if own_negatives is None else torch.cat([logits, own_negatives], dim=1)
