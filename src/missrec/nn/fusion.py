"""Dynamic fusion of the modality scores of a candidate (MISSRec 3.2.4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DynamicFusion(nn.Module):
    """Fuses <u, x^m> over the modalities that an item has, by Eq. 2, without building v_k.

    alpha = softplus(a parameter), so alpha >= 0 whatever the optimiser does. It is a mean of the
    scores at alpha = 0 and approaches their maximum as alpha grows.
    """

    def __init__(self, *, initial_alpha: float, learnable: bool) -> None:
        """One alpha for all items.

        Args:
            initial_alpha: concentration at the start, finite and > 0.
            learnable: whether training changes it (MISSRec 4.2.4: yes).

        Raises:
            ValueError: initial_alpha is not in (0, inf).
        """
        super().__init__()
        if not 0 < initial_alpha < math.inf:
            raise ValueError(f"initial_alpha ({initial_alpha}) must be finite and above 0")
        # softplus(log(expm1(a))) = a; for a large a, log(expm1(a)) = a + log1p(-exp(-a)).
        raw = initial_alpha + math.log(-math.expm1(-initial_alpha))
        self.raw_alpha = nn.Parameter(torch.tensor(raw), requires_grad=learnable)

    @property
    def alpha(self) -> Tensor:
        """() the concentration factor."""
        return F.softplus(self.raw_alpha)

    def forward(self, scores: Tensor, present: Tensor) -> Tensor:
        """(B, C) fused scores; 0 for a candidate without any modality.

        Args:
            scores: (M, B, C) scores by modality.
            present: (M, C) bool, True where the candidate has the modality.
        """
        if len(scores) == 1:
            return scores[0] * present[0]
        absent = ~present[:, None, :]  # (M, 1, C)
        # The lowest finite number rather than -inf: a candidate without any modality stays finite.
        votes = (self.alpha * scores).masked_fill(absent, torch.finfo(scores.dtype).min)
        weights = votes.softmax(dim=0).masked_fill(absent, 0)
        return (weights * scores).sum(dim=0)
