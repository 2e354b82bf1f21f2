"""What each process finds in the distributed metric's test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import distributed

from missrec.metrics.ranking import FullRanking, TargetRanks

CASES: Mapping[str, tuple[list[list[int]], list[list[int]]]] = {
    "uneven": ([[0, 1, 2], [3, 4, 5, 6]], [[7, 8, 9]]),
    "repeated users": ([[0, 2, 4], [6, 8, 0]], [[1, 3], [5, 7, 9, 1, 2]]),
    "first rank has no user": ([], [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]),
    "second rank has no user": ([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], []),
}
"""Case -> the batches of users of each of two ranks; together users 0..9."""


def rank_users(batches: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Metrics and each user's rank, over all processes, after these batches of this process."""
    ranking = FullRanking(cutoffs=[1, 5])
    for users in batches:
        ranking.update(_all_users().select(torch.tensor(users)))
    metrics = ranking.compute()
    with ranking.sync_context(should_sync=distributed.is_initialized()):
        ranks = ranking.target_ranks()
    return {"metrics": metrics, "users": ranks.user_ids.tolist(), "ranks": ranks.ranks.tolist()}


def _all_users() -> TargetRanks:
    """Users 0..9 over 20 items, some tied."""
    generator = torch.Generator().manual_seed(0)
    greater, equal, targets = torch.randint(0, 7, (3, 10), generator=generator)
    return TargetRanks(torch.arange(10), targets + 1, greater, equal)
