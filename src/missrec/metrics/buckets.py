"""Metrics by how popular the target is (the paper's Figure 4) and on cold items."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor

from missrec.metrics.ranking import TargetRanks, ranking_metrics


class Bucket(NamedTuple):
    """The users whose target occurs `lowest`..`highest` times in the training sequences.

    Attributes:
        lowest: fewest training occurrences.
        highest: most, included; None = no bound.
        num_users: test users in the bucket.
        metrics: as `ranking_metrics`; empty without users.
    """

    lowest: int
    highest: int | None
    num_users: int
    metrics: dict[str, float]

    @property
    def label(self) -> str:
        """Such as `0 (cold)`, `1-4` or `50+`."""
        if self.highest == self.lowest > 0:
            return str(self.lowest)
        if self.highest == 0:
            return "0 (cold)"
        return f"{self.lowest}+" if self.highest is None else f"{self.lowest}-{self.highest}"

    def as_row(self) -> dict[str, Any]:
        """`in_training`, `test_users` and the metrics, as a row of a table."""
        return {"in_training": self.label, "test_users": self.num_users, **self.metrics}


def check_edges(named: str, edges: Sequence[int]) -> None:
    """Refuses first values of buckets that do not rise.

    Args:
        named: what they are called where they were said.
        edges: see `popularity_buckets`.

    Raises:
        ValueError: they do not rise from at least 1, or one is no whole number.
    """
    is_whole = all(isinstance(edge, int) for edge in edges)
    if not is_whole or any(low >= high for low, high in pairwise([0, *edges])):
        raise ValueError(f"{named} ({list(edges)}) must be whole numbers that rise, from 1 or more")


def popularity_buckets(
    users: TargetRanks, train_counts: Tensor, *, edges: Sequence[int], cutoffs: Sequence[int]
) -> list[Bucket]:
    """Metrics by training occurrences of the target; the first bucket holds the cold items.

    Args:
        users: ranks of the split.
        train_counts: (N + 1,) int64 training occurrences by item id.
        edges: rising first values of the buckets after the cold one, such as [1, 5, 10].
        cutoffs: as `ranking_metrics`.

    Raises:
        ValueError: edges do not rise from at least 1.
    """
    check_edges("bucket edges", edges)
    lowest = [0, *edges]
    highest: list[int | None] = [*(edge - 1 for edge in edges), None]
    counts = train_counts[users.target_ids]
    buckets = []
    for low, high in zip(lowest, highest, strict=True):
        inside = counts >= low
        if high is not None:
            inside &= counts <= high
        metrics = group_metrics(users, inside, cutoffs=cutoffs)
        buckets.append(Bucket(low, high, int(inside.sum()), metrics))
    return buckets


def group_metrics(
    users: TargetRanks, inside: Tensor, *, cutoffs: Sequence[int]
) -> dict[str, float]:
    """`ranking_metrics` of the users where `inside` (U,) is True; empty without any."""
    group = users.select(inside)
    if not len(group.user_ids):
        return {}
    return ranking_metrics(group.num_greater, group.num_equal, cutoffs=cutoffs)


def cold_recall(
    users: TargetRanks, is_cold: Tensor, *, name: str, cutoffs: Sequence[int]
) -> dict[str, float]:
    """Recall of a group of users who are hard to serve, and how many they are.

    Args:
        users: ranks of the split.
        is_cold: (U,) bool, such as of users whose target is rare in training.
        name: of the group, such as `cold_item`.
        cutoffs: as `ranking_metrics`.

    Returns:
        Such as `cold_item_users` and `cold_item_recall@10`; of no user, the number alone.
    """
    metrics = group_metrics(users, is_cold, cutoffs=cutoffs)
    recalls = {f"{name}_recall@{k}": metrics[f"recall@{k}"] for k in cutoffs if metrics}
    return {f"{name}_users": float(is_cold.sum()), **recalls}
