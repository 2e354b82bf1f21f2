"""A softmax over a sample of the catalogue, corrected for how likely each item was in it."""

from __future__ import annotations

import torch
from torch import Tensor

from missrec.distributed import gather, share_of
from missrec.objectives.ranking import weighted_softmax_loss
from missrec.types import Catalogue

_SMALLEST_COUNT = 1e-12


class SampledSoftmax:
    """Softmax of the target against targets of the batch and drawn items, an estimate of the full.

    With c_j the times that item j came and E_j how often it was to be expected, the sum

        exp(s_target) + sum over j != target of c_j / E_j exp(s_j)

    has the sum over the whole catalogue as its mean over draws. In the batch, j is expected as
    often as its share of the training targets says; the negatives are the same for all rows, and of
    all processes together.

    **Source**: the logQ correction (Bengio and Senécal 2008; Yi et al., RecSys 2019, section 3).
    **Differs**: the target itself is not corrected, since it is there whatever was drawn, and
    repeats of it are no negatives.
    """

    def __init__(self, *, num_negatives: int, popularity: float, in_batch: bool) -> None:
        """Loss with `num_negatives` draws a batch.

        Args:
            num_negatives: n, drawn with replacement; at least 0.
            popularity: an item is drawn in proportion to (training count + 1) ** popularity; 0 is
                uniform.
            in_batch: targets of other rows are negatives, too.

        Raises:
            ValueError: a setting is outside its range, or there would be no negative.
        """
        if num_negatives < (0 if in_batch else 1):
            raise ValueError(
                f"num_negatives ({num_negatives}) must be at least 1, or 0 with in_batch=true"
            )
        if not 0 <= popularity <= 1:
            raise ValueError(f"popularity ({popularity}) must be in [0, 1]")
        self._num_negatives = num_negatives
        self._popularity = popularity
        self._in_batch = in_batch
        self._target_shares = self._draw_shares = self._draw_ends = torch.empty(0)
        self._log_weights = torch.empty(0)

    def learn_items(self, catalogue: Catalogue) -> None:
        """Takes from the training sequences how often each item is drawn, and how often a target.

        Args:
            catalogue: that of the model.
        """
        items, starts, ends = catalogue.train_sequences
        firsts = items[starts[ends > starts]].long()  # no history comes before them
        counts = catalogue.train_counts.double()
        targets = counts - firsts.bincount(minlength=len(counts))
        self._target_shares = targets / targets.sum().clamp_min(1)
        weights = (counts + 1) ** self._popularity
        weights[0] = 0  # padding
        self._draw_shares = weights / weights.sum()
        self._draw_ends = self._draw_shares.cumsum(0)

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """The distinct targets and drawn items; what they weigh is kept for the loss."""
        if len(self._draw_shares) != num_items + 1:
            raise RuntimeError("learn_items comes before the first batch")
        self._move(device := target_ids.device)
        targets = gather(target_ids).rows
        drawn = self._draw(device, num_items=num_items)
        distinct: Tensor
        distinct, places = torch.unique(torch.cat([targets, drawn]), return_inverse=True)
        in_batch, drawn_at = places.split([len(targets), len(drawn)])
        size = len(distinct)
        counts = drawn_at.bincount(minlength=size).double()
        expected = self._num_negatives * self._draw_shares[distinct]
        if self._in_batch:
            counts += in_batch.bincount(minlength=size)
            expected += (len(targets) - 1) * self._target_shares[distinct]
        # Of one that was not drawn the logarithm is -inf: it is a candidate of its own row alone.
        self._log_weights = counts.log() - expected.clamp_min(_SMALLEST_COUNT).log()
        return distinct

    def __call__(
        self, logits: Tensor, target_index: Tensor, *, own_negatives: Tensor | None = None
    ) -> Tensor:
        """() mean over the batch."""
        return weighted_softmax_loss(logits, self._log_weights, target_index, own_negatives)

    def _draw(self, device: torch.device, *, num_items: int) -> Tensor:
        """(n,) items, of which each process has drawn a share."""
        own = torch.rand(len(share_of(self._num_negatives)), dtype=torch.float64, device=device)
        drawn = torch.searchsorted(self._draw_ends, own, right=True).clamp_max(num_items)
        everyone: Tensor = gather(drawn).rows
        return everyone

    def _move(self, device: torch.device) -> None:
        """Has what is known of the items where the batches are; once, then it stays."""
        self._target_shares = self._target_shares.to(device)
        self._draw_shares = self._draw_shares.to(device)
        self._draw_ends = self._draw_ends.to(device)
