"""Full-ranking metrics from the rank of each user's target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

_EXACT_FLOAT32 = 2**24
"""Below this float32 counts exactly."""


class TargetRanks(NamedTuple):
    """Where each user's target came.

    Attributes:
        user_ids: (U,) int64, each user once.
        target_ids: (U,) int64 item ids.
        num_greater: (U,) int64, items that score higher than the target.
        num_equal: (U,) int64, other items with exactly the target's score.
    """

    user_ids: Tensor
    target_ids: Tensor
    num_greater: Tensor
    num_equal: Tensor

    @property
    def ranks(self) -> Tensor:
        """(U,) float64 expected rank from 1 if ties are broken at random.

        No metric follows from it where there are ties: see `per_user_metrics`.
        """
        return 1 + self.num_greater.double() + self.num_equal.double() / 2

    def select(self, rows: Tensor) -> TargetRanks:
        """The users at these rows, an index or a mask."""
        return TargetRanks(*(column[rows] for column in self))


def count_ranks(
    scores: Tensor, target_scores: Tensor, *, lowest: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """How many items score above each target, and how many the same.

    Args:
        scores: (B, C), all items or a part of them.
        target_scores: (B,) of the targets. A target among the items equals itself.
        lowest: (B,) at most the target's; what scores from here up to it counts as the same.

    Returns:
        Two (B,) int64 tensors.

    Raises:
        ValueError: a score is NaN, or there are 2^24 items or more.
    """
    if scores.shape[1] >= _EXACT_FLOAT32:
        raise ValueError(f"{scores.shape[1]} items at a time; at most {_EXACT_FLOAT32 - 1} count")
    if torch.isnan(scores.amax(dim=1)).any():  # a maximum with NaN is NaN
        raise ValueError("scores hold NaN; the model has diverged, lower the learning rate")
    limit = target_scores[:, None]
    # Ones and zeros as numbers: sums of booleans are twenty times slower on a CPU.
    is_true = torch.empty(scores.shape, dtype=torch.float32, device=scores.device)
    greater = torch.gt(scores, limit, out=is_true).sum(dim=1).long()
    if lowest is None:
        return greater, torch.eq(scores, limit, out=is_true).sum(dim=1).long()
    at_least = torch.ge(scores, lowest[:, None], out=is_true).sum(dim=1).long()
    return greater, at_least - greater


def per_user_metrics(
    num_greater: Tensor, num_equal: Tensor, *, cutoffs: Sequence[int]
) -> dict[str, Tensor]:
    """Recall, NDCG and MRR of each user at each cut-off, in expectation over the order of ties.

    At rank r, recall@k is 1, ndcg@k is 1 / log2(r + 1) and mrr@k is 1 / r, all 0 for r > k. A
    target that g items surpass and e equal is as often at each of the ranks g + 1 .. g + e + 1: its
    metric is the mean of theirs.

    **Source**: McSherry & Najork, Computing Information Retrieval Performance Measures Efficiently
    in the Presence of Tied Scores, 2008.

    Args:
        num_greater: (U,) items above each target; a number with a fraction is of a file that holds
            an expected rank alone, and gives the metric of that rank.
        num_equal: (U,) other items with the target's score.
        cutoffs: values of k.

    Returns:
        Each (U,) float64, such as `recall@10`.
    """
    ranks = 1 + num_greater.double()
    values = _metrics_at(ranks, cutoffs=cutoffs)
    tied = num_equal > 0
    if not tied.any():
        return values
    first, num_places = num_greater[tied].long(), 1 + num_equal[tied].long()
    last = first + num_places
    places = torch.arange(1, min(max(cutoffs), int(last.max())) + 1, device=ranks.device).double()
    for name, at_place in _metrics_at(places, cutoffs=cutoffs).items():
        sums = torch.cat(
            [at_place.new_zeros(1), at_place.cumsum(0)]
        )  # of the first 0, 1, ... places
        end = len(places)
        of_ties = sums[last.clamp(max=end)] - sums[first.clamp(max=end)]
        values[name][tied] = of_ties / num_places
    return values


def _metrics_at(ranks: Tensor, *, cutoffs: Sequence[int]) -> dict[str, Tensor]:
    """The metrics of targets at these ranks, float64."""
    gain, reciprocal = 1 / torch.log2(ranks + 1), 1 / ranks
    metrics: dict[str, Tensor] = {}
    for k in cutoffs:
        hit = (ranks <= k).to(ranks.dtype)
        metrics |= {f"recall@{k}": hit, f"ndcg@{k}": hit * gain, f"mrr@{k}": hit * reciprocal}
    return metrics


def ranking_metrics(
    num_greater: Tensor, num_equal: Tensor, *, cutoffs: Sequence[int]
) -> dict[str, float]:
    """The means over users of `per_user_metrics`; NaN without users."""
    per_user = per_user_metrics(num_greater, num_equal, cutoffs=cutoffs)
    return {name: float(values.mean()) for name, values in per_user.items()}


class FullRanking(Metric):
    """Ranks of all users of a split; right whatever the batches and the number of processes.

    Samplers of several processes repeat users to fill their batches, and processes may see
    unequal numbers of users; `compute` counts each user once.
    """

    full_state_update = False
    users: list[Tensor]

    def __init__(self, *, cutoffs: Sequence[int]) -> None:
        """Metrics at these cut-offs.

        Args:
            cutoffs: values of k, each at least 1.

        Raises:
            ValueError: a cut-off is below 1, or there is none.
        """
        super().__init__()
        if not cutoffs or min(cutoffs) < 1:
            raise ValueError(f"cutoffs ({list(cutoffs)}) must name at least one k, each >= 1")
        self._cutoffs = list(cutoffs)
        # One matrix per batch, so that the columns cannot come apart in the gathering.
        self.add_state("users", default=[], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Forgets all users."""
        super().reset()
        # A process without users takes part in the gathering with the right shape and dtype.
        self.users.append(torch.zeros(0, 4, dtype=torch.int64, device=self.device))

    def update(self, users: TargetRanks) -> None:
        """Adds some users."""
        self.users.append(torch.stack(tuple(users), dim=1))

    def target_ranks(self) -> TargetRanks:
        """Each user once, by rising user id."""
        rows = dim_zero_cat(self.users)
        order = rows[:, 0].argsort(stable=True)
        rows = rows[order]
        is_first = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        is_first[1:] = rows[1:, 0] != rows[:-1, 0]
        return TargetRanks(*rows[is_first].unbind(dim=1))

    def compute(self) -> dict[str, float]:
        """Metrics such as `recall@10`, and `tie_rate`, the share of targets that are tied."""
        users = self.target_ranks()
        tie_rate = float((users.num_equal > 0).double().mean())
        metrics = ranking_metrics(users.num_greater, users.num_equal, cutoffs=self._cutoffs)
        return {**metrics, "tie_rate": tie_rate}
