"""Sequence-sequence contrastive losses of pre-training (MISSRec 3.5.2, UniSRec 2.2.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.distributed import batch_mean, gather
from missrec.nn.precision import inner_products


class SequenceContrast:
    """Tells the second view of a sequence from all other sequences of the batch (Eq. 6).

    **Differs**: <u_i, u_i> stands in the printed sum; by default it is left out, since it is
    constant at unit length and no negative.
    """

    def __init__(self, *, temperature: float, include_self: bool) -> None:
        """Loss at temperature tau.

        Args:
            temperature: tau > 0.
            include_self: keep <u_i, u_i> in the sum, as printed.

        Raises:
            ValueError: temperature is not above 0.
        """
        self._temperature = _checked(temperature)
        self._include_self = include_self

    def __call__(self, sequences: Tensor, views: Tensor) -> Tensor:
        """() mean over the batch; the others are the sequences of all processes, with gradients.

        Args:
            sequences: (B, D) u at unit length.
            views: (B, D) u' at unit length, the second view of the same sequences.
        """
        everyone, first = gather(torch.stack([views, sequences]).transpose(0, 1))  # (B, 2, D)
        logits = inner_products(sequences, everyone.transpose(0, 1).flatten(0, 1))
        logits = logits / self._temperature
        rows = torch.arange(len(sequences), device=sequences.device)
        if not self._include_self:
            own = torch.zeros_like(logits, dtype=torch.bool)
            own[rows, first + rows + len(everyone)] = True
            logits = logits.masked_fill(own, float("-inf"))
        return batch_mean(F.cross_entropy(logits, first + rows), count=len(rows))


class ViewContrast:
    """Tells the second view of a sequence from the second views of the other sequences.

    **Source**: UniSRec section 2.2.2. Unlike `SequenceContrast`, the other sequences themselves
    are no negatives.
    """

    def __init__(self, *, temperature: float) -> None:
        """Loss at temperature tau.

        Args:
            temperature: tau > 0.

        Raises:
            ValueError: temperature is not above 0.
        """
        self._temperature = _checked(temperature)

    def __call__(self, sequences: Tensor, views: Tensor) -> Tensor:
        """() mean over the batch; the views are those of all processes, with gradients.

        Args:
            sequences: (B, D) at unit length.
            views: (B, D) at unit length, the second view of the same sequences.
        """
        everyone, first = gather(views)
        logits = inner_products(sequences, everyone) / self._temperature
        rows = torch.arange(len(sequences), device=sequences.device)
        return batch_mean(F.cross_entropy(logits, first + rows), count=len(rows))


def _checked(temperature: float) -> float:
    if not temperature > 0:
        raise ValueError(f"temperature ({temperature}) must be above 0")
    return temperature
