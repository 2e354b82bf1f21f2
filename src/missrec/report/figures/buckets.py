"""Figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from missrec.files import written_whole
from missrec.metrics.buckets import Bucket


def popularity_figure(path: Path, buckets: Sequence[Bucket], *, title: str) -> None:
    """The paper's Figure 4 for one model: bars of test users, a line of Recall@10, as PNG.

    A bucket without test users has no point on the line.
    """
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(buckets)), [bucket.num_users for bucket in buckets], color="#c9d6e5")
    axes.set_xticks(range(len(buckets)), [bucket.label for bucket in buckets])
    axes.set_xlabel("occurrences of the target in training")
    axes.set_ylabel("test users")
    axes.set_title(title)
    recall = axes.twinx()
    recall.plot(
        range(len(buckets)),
        [bucket.metrics.get("recall@10", float("nan")) for bucket in buckets],
        color="#b3402a",
        marker="o",
    )
    recall.set_ylabel("Recall@10", color="#b3402a")
    recall.set_ylim(bottom=0)
    with written_whole(path) as draft:
        figure.savefig(draft, dpi=300)
