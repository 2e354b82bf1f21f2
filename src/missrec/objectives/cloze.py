"""The cloze task: which items of a sequence are hidden, to be told from the others."""

from __future__ import annotations

import torch
from torch import Tensor


class ClozeMask:
    """Draws the items to hide of each sequence, at least one.

    **Source**: BERT4Rec (Sun et al. 2019), section 3.6: a random share of the items, and of some
    sequences the last item alone, as in prediction.
    **Differs**: every item is drawn on its own, so the share of a sequence varies about
    `mask_prob`; the authors' code rounds it to a number of items.
    """

    def __init__(self, *, mask_prob: float, last_only_prob: float) -> None:
        """Keeps the probabilities.

        Args:
            mask_prob: rho, of each item to be hidden, in [0, 1]; 0 hides one item a sequence.
            last_only_prob: of each sequence to have its last item hidden and no other, in [0, 1].

        Raises:
            ValueError: a probability is outside [0, 1].
        """
        for name, prob in {"mask_prob": mask_prob, "last_only_prob": last_only_prob}.items():
            if not 0 <= prob <= 1:
                raise ValueError(f"{name} ({prob}) must be in [0, 1]")
        self._mask_prob = mask_prob
        self._last_only_prob = last_only_prob

    def __call__(self, valid_mask: Tensor) -> Tensor:
        """(B, L) bool, True = hidden.

        Args:
            valid_mask: (B, L) bool, True = real item; right-padded, no row is empty.
        """
        draws = torch.rand(valid_mask.shape, device=valid_mask.device)
        draws = draws.masked_fill(~valid_mask, torch.inf)
        # Where no item falls below mask_prob, the one that came nearest is hidden.
        hidden = draws <= draws.amin(dim=1, keepdim=True).clamp_min(self._mask_prob)
        steps = torch.arange(valid_mask.shape[1], device=valid_mask.device)
        is_last = steps == valid_mask.sum(dim=1, keepdim=True) - 1
        last_only = torch.rand(len(valid_mask), 1, device=valid_mask.device) < self._last_only_prob
        return torch.where(last_only, is_last, hidden)
