"""Recall by how popular the target is, of several systems: the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import NamedTuple

import polars as pl
from torch import Tensor

from missrec.metrics.buckets import Bucket, popularity_buckets
from missrec.metrics.paired import target_ranks


class Popularity(NamedTuple):
    """Test users and Recall@10 by occurrences of the target in training.

    Attributes:
        buckets: such as `1-4`.
        num_users: test users of each bucket.
        recall: system -> Recall@10 in each bucket, mean over its seeds; None without users.
        reference: the system whose improvement over the others is of interest.
        is_relative: whether that improvement is shown, or the recall of each.
    """

    buckets: tuple[str, ...]
    num_users: tuple[int, ...]
    recall: Mapping[str, tuple[float | None, ...]]
    reference: str
    is_relative: bool = True

    @property
    def lines(self) -> dict[str, tuple[float | None, ...]]:
        """What is shown: name of a line -> its value in each bucket."""
        if not self.is_relative:
            return dict(self.recall)
        return {f"over {name}": found for name, found in self.improvements.items()}

    @property
    def improvements(self) -> dict[str, tuple[float | None, ...]]:
        """System -> relative improvement of the reference over it; None where it found nothing."""
        ours = self.recall[self.reference]
        return {
            name: tuple(
                None if mine is None or not other else mine / other - 1
                for mine, other in zip(ours, theirs, strict=True)
            )
            for name, theirs in self.recall.items()
            if name != self.reference
        }


def recall_by_popularity(
    systems: Mapping[str, Sequence[pl.DataFrame]],
    train_counts: Tensor,
    *,
    edges: Sequence[int],
    reference: str,
    is_relative: bool = True,
) -> Popularity:
    """Recall@10 of several systems in buckets of the target's training occurrences.

    Args:
        systems: name -> the ranks of each seed, all of the same users and targets.
        train_counts: (N + 1,) int64, see `popularity_buckets`.
        edges: see `popularity_buckets`.
        reference: one of the systems.
        is_relative: see `Popularity`.
    """
    found = {
        name: [
            popularity_buckets(target_ranks(table), train_counts, edges=edges, cutoffs=[10])
            for table in tables
        ]
        for name, tables in systems.items()
    }
    some = found[reference][0]
    return Popularity(
        buckets=tuple(bucket.label for bucket in some),
        num_users=tuple(bucket.num_users for bucket in some),
        recall={
            name: tuple(_mean_recall(seeds) for seeds in zip(*by_seed, strict=True))
            for name, by_seed in found.items()
        },
        reference=reference,
        is_relative=is_relative,
    )


def _mean_recall(seeds: Sequence[Bucket]) -> float | None:
    return mean(bucket.metrics["recall@10"] for bucket in seeds) if seeds[0].num_users else None
