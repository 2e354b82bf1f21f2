"""Dynamic fusion of the modality scores of a candidate (MISSRec 3.2.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.eager import eagerly_on_cpu
from missrec.types import ItemRows

Scores = Sequence[Tensor] | Tensor
"""The scores (B, C) of each modality."""


class DynamicFusion(nn.Module):
    """Fuses <u, x^m> over the modalities that an item has, by Eq. 2, with a learned alpha.

    It is a mean of the scores at alpha = 0 and approaches their maximum as alpha grows.
    """

    def __init__(
        self, *, num_items: int, initial_alpha: float, positive: bool, per_item: bool
    ) -> None:
        """One alpha for all items, or one for each.

        Args:
            num_items: N.
            initial_alpha: concentration at the start.
            positive: alpha = softplus(a parameter), so that it stays above 0 whatever the
                optimiser does; otherwise alpha is the parameter, as in the released code.
            per_item: one alpha for each item.

        Raises:
            ValueError: initial_alpha is not in (0, inf), or not in [0, inf) if not `positive`.
        """
        super().__init__()
        if not (0 < initial_alpha < math.inf or (initial_alpha == 0 and not positive)):
            raise ValueError(
                f"initial_alpha ({initial_alpha}) must be finite and above 0, or 0 without "
                "positive; the mean and the maximum are those of FixedFusion"
            )
        self._positive = positive
        self._per_item = per_item
        # softplus(log(expm1(a))) = a; for a large a, log(expm1(a)) = a + log1p(-exp(-a)).
        raw = initial_alpha + math.log(-math.expm1(-initial_alpha)) if positive else initial_alpha
        self.raw_alpha = nn.Parameter(torch.full((num_items + 1,) if per_item else (), raw))

    @property
    def item_rows(self) -> tuple[ItemRows, ...]:
        """The alphas, where each item has its own."""
        return (ItemRows("raw_alpha", dim=0, is_id=False),) if self._per_item else ()

    @property
    def alpha(self) -> Tensor:
        """() or (N + 1,), the concentration factor."""
        return F.softplus(self.raw_alpha) if self._positive else self.raw_alpha

    def alpha_of(self, item_ids: Tensor) -> Tensor:
        """() or (C,), the alpha of the items (C,)."""
        return self.alpha[item_ids] if self._per_item else self.alpha

    def forward(self, scores: Scores, present: Tensor, item_ids: Tensor) -> Tensor:
        """(B, C) fused scores; 0 for a candidate without any modality.

        Args:
            scores: M times (B, C), or (M, B, C), by modality.
            present: (M, C) bool, True where the candidate has the modality.
            item_ids: (C,) the candidates.
        """
        if len(scores) == 1:
            return scores[0] * present[0]
        return _fuse(scores, present, self.alpha_of(item_ids))

    def second_weight(self, difference: Tensor, item_ids: Tensor) -> Tensor:
        """(B, C) the weight of the second of two modalities in Eq. 2.

        Args:
            difference: (B, C) its score less that of the first.
            item_ids: (C,) the candidates.
        """
        return _second_weight(difference, self.alpha_of(item_ids))


class FixedFusion(nn.Module):
    """Fuses by Eq. 2 with an alpha that does not train; 0 is the mean, infinity the maximum."""

    def __init__(self, *, num_items: int, alpha: float) -> None:
        """One alpha for all items.

        Args:
            num_items: not needed.
            alpha: in [0, inf].

        Raises:
            ValueError: alpha is negative or NaN.
        """
        super().__init__()
        if not alpha >= 0:
            raise ValueError(f"alpha ({alpha}) must be at least 0")
        self._alpha = float(torch.tensor(alpha))  # above float32's largest number it is infinite

    @property
    def alpha(self) -> Tensor:
        """() the concentration factor."""
        return torch.tensor(self._alpha)

    def alpha_of(self, item_ids: Tensor) -> Tensor:
        """() the alpha of all items."""
        return torch.tensor(self._alpha, device=item_ids.device)

    def forward(self, scores: Scores, present: Tensor, item_ids: Tensor) -> Tensor:
        """(B, C), see `DynamicFusion`."""
        if math.isinf(self._alpha):
            return _highest(_stacked(scores), present)
        return _fuse(scores, present, torch.tensor(self._alpha, device=present.device))

    def second_weight(self, difference: Tensor, item_ids: Tensor) -> Tensor:
        """(B, C), see `DynamicFusion`."""
        if math.isinf(self._alpha):
            return (difference > 0).to(difference.dtype)
        return _second_weight(difference, self.alpha_of(item_ids))


def fuse(scores: Tensor, present: Tensor, alpha: Tensor) -> Tensor:
    """(B, C) the scores of modalities fused by Eq. 2; 0 for a candidate without any.

    Args:
        scores: (M, B, C) scores by modality, of any number of modalities.
        present: (M, C) bool, True where the candidate has the modality.
        alpha: () or (C,), the concentration; one of all candidates may be infinite.
    """
    if len(scores) <= 1:
        return (scores * present[:, None, :]).sum(dim=0)
    if not alpha.ndim and alpha.isposinf():
        return _highest(scores, present)
    return _fuse(scores, present, alpha)


def _highest(scores: Tensor, present: Tensor) -> Tensor:
    """(B, C) Eq. 2 as alpha goes to infinity."""
    highest = scores.masked_fill(~present[:, None, :], -math.inf).amax(dim=0)
    return highest.masked_fill(~present.any(dim=0), 0)


def _stacked(scores: Scores) -> Tensor:
    """(M, B, C)."""
    return scores if isinstance(scores, Tensor) else torch.stack(tuple(scores))


def _fuse(scores: Scores, present: Tensor, alpha: Tensor) -> Tensor:
    """(B, C) Eq. 2 without building v_k; alpha () or (C,)."""
    if len(scores) == 2:
        return _fuse_two(scores, present, alpha)
    scores = _stacked(scores)
    absent = ~present[:, None, :]  # (M, 1, C)
    # The lowest finite number rather than -inf: a candidate without any modality stays finite.
    votes = (alpha * scores).masked_fill(absent, torch.finfo(scores.dtype).min)
    weights = votes.softmax(dim=0).masked_fill(absent, 0)
    return (weights * scores).sum(dim=0)


def _second_weight(difference: Tensor, alpha: Tensor) -> Tensor:
    """The softmax of two votes is the sigmoid of their difference."""
    return (alpha * difference).sigmoid_()


def _fuse_two(scores: Scores, present: Tensor, alpha: Tensor) -> Tensor:
    """The same for two modalities."""
    first, second = scores
    if eagerly_on_cpu(present) and present.all():
        difference = second - first
        return torch.addcmul(first, _second_weight(difference, alpha), difference)
    first, second = first * present[0].to(first.dtype), second * present[1].to(second.dtype)
    difference = second - first
    both = present.all(dim=0).to(first.dtype)
    only_second = (present[1] & ~present[0]).to(first.dtype)
    weights = torch.addcmul(only_second, both, _second_weight(difference, alpha))
    return torch.addcmul(first, weights, difference)
