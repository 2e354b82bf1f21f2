"""One vector from the valid entries of a padded set, and where these stand."""

from __future__ import annotations

import torch
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


def last_places(valid_mask: Tensor) -> Tensor:
    """(B,) where the last valid entry of right-padded sequences (B, L) stands; 0 if none is."""
    return (valid_mask.sum(dim=1) - 1).clamp_min(0)


def places_from_end(valid_mask: Tensor) -> Tensor:
    """(B, L) int64 how many valid entries of right-padded sequences follow; 0 at padding."""
    steps = torch.arange(valid_mask.shape[1], device=valid_mask.device)
    return (valid_mask.sum(dim=1, keepdim=True) - 1 - steps).clamp_min(0)


def last_valid(embeddings: Tensor, valid_mask: Tensor) -> Tensor:
    """(B, D) the last valid entry of right-padded embeddings (B, L, D); the first if none is.

    Args:
        embeddings: (B, L, D).
        valid_mask: (B, L) bool, True = real item.
    """
    last = last_places(valid_mask)
    return embeddings.gather(1, last[:, None, None].expand(-1, 1, embeddings.shape[-1])).squeeze(1)
