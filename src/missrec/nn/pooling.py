"""Means over the valid entries of a padded set."""

from __future__ import annotations

from torch import Tensor


def masked_mean(embeddings: Tensor, valid_mask: Tensor) -> Tensor:
    """(B, D) mean of embeddings (B, K, D) over the valid ones; zeros where there is none.

    Args:
        embeddings: (B, K, D).
        valid_mask: (B, K) bool, True = takes part.
    """
    weights = valid_mask.to(embeddings.dtype)
    total = (embeddings * weights[..., None]).sum(dim=1)
    return total / weights.sum(dim=1, keepdim=True).clamp_min(1)
