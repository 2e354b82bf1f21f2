"""Tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from missrec.report.list_metrics import described, list_metrics

if TYPE_CHECKING:  # torch, behind the metrics, takes seconds to import
    from missrec.metrics.buckets import Bucket


def print_metrics(title: str, rows: Mapping[str, Mapping[str, float]], keys: Sequence[str]) -> None:
    """One line a row name, one column a metric key; `-` where a row lacks the key."""
    table = Table(title=title)
    table.add_column("", overflow="fold")
    for key in keys:
        table.add_column(key, justify="right", no_wrap=True)
    for name, metrics in rows.items():
        table.add_row(name, *(f"{metrics[key]:.4f}" if key in metrics else "-" for key in keys))
    print_table(table)


def print_failures(failures: Mapping[str, str]) -> None:
    """One line a job that failed or has not finished: its name and why."""
    table = Table(title="without a result")
    table.add_column("", overflow="fold")
    table.add_column("why", overflow="fold")
    for name, error in failures.items():
        table.add_row(escape(name), escape(error))
    print_table(table)


def print_buckets(domain: str, buckets: Sequence[Bucket], keys: Sequence[str]) -> None:
    """Metrics by training occurrences of the target, as the paper's Figure 4."""
    table = Table("In training", "Test users", title=f"{domain}, by popularity of the target")
    for key in keys:
        table.add_column(key, justify="right")
    for bucket in buckets:
        table.add_row(
            bucket.label,
            f"{bucket.num_users:,}",
            *(f"{bucket.metrics[key]:.4f}" if key in bucket.metrics else "-" for key in keys),
        )
    print_table(table)


def print_list_metrics(title: str, metrics: Mapping[str, float]) -> None:
    """What is recommended, beyond accuracy: one line a metric, with what it says."""
    table = Table("", title=f"{title}, what is recommended")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("says", overflow="fold")
    for metric in list_metrics(metrics):
        shown = described(metric)
        users = metrics.get(f"{metric.partition('@')[0].removesuffix('_recall')}_users")
        of = "" if users is None else f", of {users:,.0f} users"
        table.add_row(shown.label, f"{metrics[metric]:.{shown.digits}f}", f"{shown.meaning}{of}")
    if table.row_count:
        print_table(table)


def print_transfer(
    source: str, rows: Sequence[tuple[str, str, str, int, int]], *, trainable: tuple[int, int]
) -> None:
    """What became of the tensors of a pre-trained model, component by component.

    Args:
        source: where they come from.
        rows: fate, component, why, tensors, values.
        trainable: the numbers of trainable and of all parameters afterwards.
    """
    table = Table(title=f"Transfer from {source}")
    for column in ("", "component", "why"):
        table.add_column(column)
    for column in ("tensors", "values"):
        table.add_column(column, justify="right")
    for *words, num_tensors, num_values in rows:
        table.add_row(*map(str, words), f"{num_tensors:,}", f"{num_values:,}")
    num_trainable, num_all = trainable
    share = 100 * num_trainable / max(1, num_all)
    table.caption = f"{num_trainable:,} of {num_all:,} parameters train ({share:.1f} %)"
    print_table(table)


def print_comparison(title: str, figures: Mapping[str, Mapping[str, Any]], caption: str) -> None:
    """Two systems metric by metric: their seeds, the difference, how sure it is, and in users.

    Args:
        title: of the table.
        figures: metric -> `run` and `against` (one value a seed), `difference`, `interval_95`,
            `p_value` and `detectable` (or None), `users`.
        caption: how it is to be read.
    """
    table = Table(title=title)
    table.add_column("")
    for column in ("run", "against", "difference", "95 % interval", "p", "detectable", "users"):
        table.add_column(column, justify="right", no_wrap=True)
    for metric, row in figures.items():
        low, high = row["interval_95"]
        p_value, found = row["p_value"], row["detectable"]
        table.add_row(
            metric,
            _mean_and_deviation(row["run"]),
            _mean_and_deviation(row["against"]),
            f"{row['difference']:+.4f}",
            f"{low:+.4f} .. {high:+.4f}",
            "-" if p_value is None else f"{p_value:.4f}",
            "-" if found is None else f"{found:.4f}",
            f"{row['users']:+.1f}" if metric.startswith("recall") else "",
        )
    table.caption = caption
    print_table(table)


def _mean_and_deviation(seeds: Sequence[float]) -> str:
    deviation = f" ± {stdev(seeds):.4f}" if len(seeds) > 1 else ""
    return f"{mean(seeds):.4f}{deviation}"


def print_table(table: Table) -> None:
    """Prints any table as wide as the terminal."""
    # A pipe or a file has no width of its own; rich would assume 80 columns.
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def split_metrics(metrics: dict[str, float], split: str) -> dict[str, float]:
    """The metrics of one split without its prefix; means over domains only."""
    keys = [key.split("/") for key in metrics]
    return {key[1]: metrics["/".join(key)] for key in keys if len(key) == 2 and key[0] == split}
