"""Orthogonal regularisation of the decoded interests (MISSRec 3.5.3)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from missrec.distributed import batch_mean, batch_sum
from missrec.nn.pooling import masked_mean


def orthogonality(decoded: Tensor, valid_mask: Tensor) -> Tensor:
    """() the mean over the batch of 1/K^2 times the sum of <xi_m, xi_m'> (MISSRec Eq. 7).

    The double sum equals the squared norm of the mean of xi, which costs O(K D) instead of
    O(K^2 D). xi is taken at unit length, as every vector before an inner product.

    Args:
        decoded: (B, K, D).
        valid_mask: (B, K) bool, True = real interest; a row without any contributes 0.
    """
    means = masked_mean(F.normalize(decoded, dim=-1), valid_mask)
    return batch_mean(means.square().sum(dim=-1).mean(), count=len(means))


def released_orthogonality(encoded: Tensor, valid_mask: Tensor) -> Tensor:
    """() the regularisation of the authors' public code, before its weight.

    **Differs** from Eq. 7: sums where it should average. A row's entries, padding included, are
    summed and scaled by the share of real ones; the squares are summed over the batch and divided
    by D. So it grows with the batch and with its padding.

    Args:
        encoded: (B, K, D), padding included.
        valid_mask: (B, K) bool, True = real interest.
    """
    share = valid_mask.to(encoded.dtype).mean(dim=1, keepdim=True)  # (B, 1)
    return batch_sum((encoded.sum(dim=1) * share).square().sum()) / encoded.shape[-1]
