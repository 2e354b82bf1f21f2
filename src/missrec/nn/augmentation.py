"""Second views of a history, by its ids alone."""

from __future__ import annotations

import torch
from torch import Tensor

from missrec.types import PAD_ID


def drop_items(item_ids: Tensor, *, prob: float) -> Tensor:
    """(B, L) the histories without some of their items; the later ones move up.

    **Source**: UniSRec section 2.2.2, item drop.
    **Differs**: each item goes with the same probability, and the last one stays where all would
    go; the public code always keeps the first.

    Args:
        item_ids: (B, L), oldest first, right-padded with `PAD_ID`.
        prob: in [0, 1), of each item.

    Raises:
        ValueError: prob is outside [0, 1).
    """
    if not 0 <= prob < 1:
        raise ValueError(f"item_drop_prob ({prob}) must be in [0, 1)")
    valid_mask = item_ids != PAD_ID
    keep = valid_mask & (torch.rand(item_ids.shape, device=item_ids.device) >= prob)
    is_last = valid_mask.cumsum(dim=1) == valid_mask.sum(dim=1, keepdim=True)
    keep |= valid_mask & is_last & ~keep.any(dim=1, keepdim=True)
    order = (~keep).byte().argsort(dim=1, stable=True)  # what stays first, in its order
    return item_ids.masked_fill(~keep, PAD_ID).gather(1, order)
