"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from missrec.data.statistics import DomainStatistics
from missrec.metrics.buckets import Bucket


def print_statistics(statistics: Sequence[DomainStatistics]) -> None:
    """The columns of the paper's Table 1, with the coverage of every modality."""
    modalities = list(statistics[0].num_with)
    table = Table("Dataset", "#Users", "#Items", title="Statistics (as the paper's Table 1)")
    for modality in modalities:
        table.add_column(f"#{modality.capitalize()} (Cover.%)", justify="right")
    table.add_column("#Inters.", justify="right")
    table.add_column("Avg. SL.", justify="right")
    for row in statistics:
        table.add_row(
            row.name,
            f"{row.num_users:,}",
            f"{row.num_items:,}",
            *(
                f"{row.num_with[modality]:,} ({row.num_with[modality] / row.num_items:.2%})"
                for modality in modalities
            ),
            f"{row.num_interactions:,}",
            f"{row.mean_length:.2f}",
        )
    Console().print(table)


def print_metrics(title: str, rows: Mapping[str, Mapping[str, float]], keys: Sequence[str]) -> None:
    """One line a row name, one column a metric key; `-` where a row lacks the key."""
    table = Table("", title=title)
    for key in keys:
        table.add_column(key, justify="right")
    for name, metrics in rows.items():
        table.add_row(name, *(f"{metrics[key]:.4f}" if key in metrics else "-" for key in keys))
    Console().print(table)


def print_buckets(buckets: Sequence[Bucket], keys: Sequence[str]) -> None:
    """Metrics by training occurrences of the target, as the paper's Figure 4."""
    table = Table("In training", "Test users", title="By popularity of the target")
    for key in keys:
        table.add_column(key, justify="right")
    for bucket in buckets:
        table.add_row(
            bucket.label,
            f"{bucket.num_users:,}",
            *(f"{bucket.metrics[key]:.4f}" if bucket.metrics else "-" for key in keys),
        )
    Console().print(table)
