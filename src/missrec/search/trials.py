"""What a hyper-parameter search came to, as a line, a table and a file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from missrec.report.formats.terminal import print_table

_SHOWN_TRIALS = 20
_MAX_REASON = 60


class TrialRow(NamedTuple):
    """A trial of a search.

    Attributes:
        number: from 0.
        state: `complete`, `pruned`, `failed` or `running`.
        value: of the metric; of a pruned trial the last it reported; NaN if there is none.
        epochs: reported.
        duration_sec: from its first start to its end.
        params: key of the config -> value.
        reason: why it did not complete.
    """

    number: int
    state: str
    value: float
    epochs: int
    duration_sec: float | None
    params: Mapping[str, Any]
    reason: str


def best_trial(rows: Sequence[TrialRow]) -> TrialRow | None:
    """The completed trial with the largest value, the first of equals; None if none completed."""
    complete = [row for row in rows if row.state == "complete"]
    return max(complete, key=lambda row: (row.value, -row.number), default=None)


def by_value(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """Completed trials, best first, then the others by number."""

    def place(row: TrialRow) -> tuple[bool, float, int]:
        is_complete = row.state == "complete"
        return not is_complete, -row.value if is_complete else 0, row.number

    return sorted(rows, key=place)


def trial_line(row: TrialRow, rows: Sequence[TrialRow]) -> str:
    """How a trial ended, and the best so far."""
    ended = row.reason if row.state == "failed" or not row.epochs else f"{row.epochs} epochs"
    value = "" if math.isnan(row.value) else f" {row.value:.4f}"
    params = " ".join(f"{key}={_short(chosen)}" for key, chosen in row.params.items())
    best = best_trial(rows)
    so_far = "no best yet" if best is None else f"best {best.value:.4f}, trial {best.number}"
    return f"trial {row.number} {row.state}{value} ({ended}): {params}; {so_far}"


def print_trials(title: str, metric: str, rows: Sequence[TrialRow]) -> None:
    """The trials, best first; of many only the first."""
    keys = list(dict.fromkeys(key for row in rows for key in row.params))
    table = Table(title=title)
    table.add_column("trial", justify="right")
    table.add_column(metric, justify="right", no_wrap=True)
    for key in keys:
        table.add_column(key, overflow="fold")
    table.add_column("epochs", justify="right")
    table.add_column("")
    for row in by_value(rows)[:_SHOWN_TRIALS]:
        table.add_row(
            str(row.number),
            "-" if math.isnan(row.value) else f"{row.value:.4f}",
            *(_short(row.params[key]) if key in row.params else "-" for key in keys),
            str(row.epochs),
            f"{row.state} {row.reason[:_MAX_REASON]}".strip(),
        )
    if len(rows) > _SHOWN_TRIALS:
        table.caption = f"{_SHOWN_TRIALS} of {len(rows)} trials; trials.csv holds all"
    print_table(table)


def trials_csv(metric: str, rows: Sequence[TrialRow]) -> str:
    """One line a trial, by number."""
    keys = list(dict.fromkeys(key for row in rows for key in row.params))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", metric, *keys, "epochs", "duration_sec", "reason"])
    for row in rows:
        value = None if math.isnan(row.value) else row.value
        params = [row.params.get(key) for key in keys]
        writer.writerow(
            [row.number, row.state, value, *params, row.epochs, row.duration_sec, row.reason]
        )
    return text.getvalue()


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
