"""One vector from the valid entries of a padded set."""

from __future__ import annotations

from torch import Tensor

from missrec.types import PAD_ID, SequenceBatch


def masked_mean(embeddings: Tensor, valid_mask: Tensor) -> Tensor:
    """(B, D) mean of embeddings (B, K, D) over the valid ones; zeros where there is none.

    Args:
        embeddings: (B, K, D).
        valid_mask: (B, K) bool, True = takes part.
    """
    weights = valid_mask.to(embeddings.dtype)
    total = (embeddings * weights[..., None]).sum(dim=1)
    return total / weights.sum(dim=1, keepdim=True).clamp_min(1)


def last_valid(embeddings: Tensor, valid_mask: Tensor) -> Tensor:
    """(B, D) the last valid entry of right-padded embeddings (B, L, D); the first if none is.

    Args:
        embeddings: (B, L, D).
        valid_mask: (B, L) bool, True = real item.
    """
    last = (valid_mask.sum(dim=1) - 1).clamp_min(0)
    return embeddings.gather(1, last[:, None, None].expand(-1, 1, embeddings.shape[-1])).squeeze(1)


def before_targets(embeddings: Tensor, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
    """(P, D) the entries from which the targets of a batch are predicted, and (P,) the targets.

    Args:
        embeddings: (B, L, D), right-padded.
        batch: with targets (B,) of the last items, or (B, L) of some or all.
    """
    if batch.target_ids.ndim == 1:
        return last_valid(embeddings, batch.valid_mask), batch.target_ids
    return embeddings[batch.target_ids != PAD_ID], batch.asked_ids
