"""A softmax of each history against the items that look most like it, found by random buckets."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from missrec.distributed import batch_mean
from missrec.nn.precision import inner_products, single
from missrec.objectives.blocks import Score, selected


class ScalableCrossEntropy:
    """Cross-entropy over those items of a large catalogue whose gradient is not close to 0.

    Random directions, the centers of buckets, are drawn for each batch. A bucket takes the
    histories and the items that score highest with its center; inside, each history is told from
    the items of the bucket. What two buckets share counts once, with the larger loss; a history in
    none does not count in this step.

    **Source**: SCE (Mezentsev et al., RecSys 2024), with Mix: centers are drawn among mixtures of
    the histories. As there, the numbers of buckets and of their histories are
    2 sqrt(histories of the batch).
    **Differs**: items are found by the model's own score of a center, so fusions and biases count.

    H is the number of histories of a bucket, I that of its items.
    """

    def __init__(self, *, bucket_items: int, size: float) -> None:
        """Loss with `bucket_items` items a bucket.

        Args:
            bucket_items: I, at least 1.
            size: buckets, and histories of each, over the root of the number of histories; above 0.

        Raises:
            ValueError: a setting is outside its range.
        """
        if bucket_items < 1:
            raise ValueError(f"bucket_items ({bucket_items}) must be at least 1")
        if not size > 0:
            raise ValueError(f"size ({size}) must be above 0")
        self._bucket_items = bucket_items
        self._size = size

    def candidate_ids(self, target_ids: Tensor, *, num_items: int) -> Tensor:
        """All items."""
        return torch.arange(1, num_items + 1, device=target_ids.device)

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
        """() mean over the histories in a bucket, see `candidate_loss`."""
        histories, items = self._buckets(score, encoded, candidates, num_candidates=num_candidates)
        wanted, places = torch.unique(
            torch.cat([items.flatten(), target_index]), return_inverse=True
        )
        few = selected(candidates, wanted)
        in_buckets = places[: items.numel()].view_as(items)
        targets = places[items.numel() :]
        losses = []
        for rows, columns in zip(histories, in_buckets, strict=True):
            asked = torch.cat([targets[rows], columns])
            logits = score(encoded[rows], selected(few, asked))
            logits = logits if temperature is None else logits / temperature
            positive = logits.diagonal()
            is_own = columns == targets[rows, None]
            negatives = logits[:, len(rows) :].masked_fill(is_own, -torch.inf)
            beside = [] if own_negatives is None else [own_negatives[rows]]
            total = torch.cat([positive[:, None], negatives, *beside], dim=1).logsumexp(dim=1)
            losses.append(total - positive)
        by_history = losses[0].new_full((len(encoded),), -torch.inf)
        by_history = by_history.scatter_reduce(0, histories.flatten(), torch.cat(losses), "amax")
        counted = by_history[torch.unique(histories)]
        return batch_mean(counted.mean(), count=len(counted))

    @torch.no_grad()
    def _buckets(
        self, score: Score, encoded: Tensor, candidates: Any, *, num_candidates: int
    ) -> tuple[Tensor, Tensor]:
        """(buckets, H) histories and (buckets, I) candidates that score highest with a center."""
        number = max(1, round(self._size * math.sqrt(len(encoded))))
        users = single(encoded)
        mixture = torch.randn(number, len(users), dtype=users.dtype, device=users.device)
        centers = torch.tensordot(mixture, users, dims=1)  # (buckets, ...)
        alike = inner_products(centers.flatten(1), users.flatten(1))
        histories = alike.topk(min(number, len(users)), dim=1).indices
        scores = score(centers.to(encoded), candidates)
        items = scores.topk(min(self._bucket_items, num_candidates), dim=1).indices
        return histories, items
