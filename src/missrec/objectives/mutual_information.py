"""The contrast of self-supervised pre-training by mutual information (S³-Rec 3.2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from missrec.distributed import batch_mean
from missrec.nn.precision import single


def mutual_information_loss(
    anchors: Tensor, partners: Tensor, others: Tensor, takes_part: Tensor
) -> Tensor:
    """() -log σ(f(x, y) - f(x, ỹ)) summed over the places of a sequence, mean over the batch.

    That is InfoNCE with one negative: -log(exp f(x, y) / (exp f(x, y) + exp f(x, ỹ))). As in all
    tasks of S³-Rec (4.2), f(x, y) = σ(<x, y>); the bilinear map of x is the caller's.

    Args:
        anchors: (B, ..., D) x.
        partners: (B, ..., D) y, what belongs to x.
        others: (B, ..., D) ỹ, what does not.
        takes_part: (B, ...) bool, True = counts; without any the loss is 0.
    """
    of_partner, of_other = (
        (single(anchors) * ys).sum(dim=-1).sigmoid() for ys in (partners, others)
    )
    losses = -F.logsigmoid(of_partner - of_other)
    loss = losses.masked_fill(~takes_part, 0.0).sum() / len(anchors)
    return batch_mean(loss, count=len(anchors))
