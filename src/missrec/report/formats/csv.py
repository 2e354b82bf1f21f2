"""The report as CSV: one line a metric of a row and its reference, and one line a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from missrec.report.contents import Report
from missrec.report.formats import words
from missrec.report.sections import ResultRow, Section
from missrec.runs.groups import mean_and_deviation

_Cell = str | float | None

_RESULTS = (
    *("table", "dataset", "data", "variant", "row", "part", "metric", "runs", "seeds", "mean"),
    *("deviation", "published", "reference", "difference", "low_95", "high_95", "users", "p_value"),
    *("p_value_holm", "interval_over", "detectable", "flags", "command"),
)
_RUNS = (
    *("run", "rows", "model", "inputs", "transfer", "ablation", "pretrained", "data", "seed"),
    *("commit", "dirty"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def results_csv(report: Report) -> str:
    """Every row of every section, one line a metric and reference, lists' metrics last."""
    return _csv(
        _RESULTS,
        (
            _result(section, row, metric, reference)
            for section in report.sections
            for row in section.rows
            for metric in (*section.table.metrics, *section.list_metrics)
            for reference in (list(row.comparisons) if metric in section.table.metrics else [])
            or [""]
        ),
    )


def runs_csv(report: Report) -> str:
    """Every finished run, the rows that it counts in, and all its metrics."""
    rows_of: dict[Path, list[str]] = {}
    for section in report.filled:
        for row in section.rows:
            for run in row.group.runs if row.group else ():
                rows_of.setdefault(run.folder, []).append(f"{section.title}: {row.label}")
    metrics = list(dict.fromkeys(key for run in report.runs for key in run.metrics))
    return _csv(
        (*_RUNS, *metrics),
        (
            [
                run.name,
                "; ".join(rows_of.get(run.folder, ())),
                *run.setup,
                run.seed,
                run.commit,
                run.dirty,
                *(run.metrics.get(metric) for metric in metrics),
            ]
            for run in report.runs
        ),
    )


def _result(section: Section, row: ResultRow, metric: str, reference: str) -> Sequence[_Cell]:
    values = row.values(metric)
    average, deviation = mean_and_deviation(values) or (None, None)
    found = row.against(reference).get(metric)
    difference = found.difference if found else None
    seeds = row.group.seeds if row.group else ()
    return [
        section.table.name,
        section.dataset.name if section.dataset else "",
        section.data,
        section.variant.name,
        row.label,
        row.definition.part,
        metric,
        len(values),
        " ".join(map(str, seeds)),
        average,
        deviation,
        row.published.get(metric),
        reference,
        difference.mean if difference else None,
        difference.low if difference else None,
        difference.high if difference else None,
        found.num_users if found and metric.startswith("recall") else None,
        difference.p_value if difference else None,
        found.adjusted if found else None,
        words.over(found) if found else None,
        difference.detectable if difference else None,
        "; ".join(row.flags),
        row.command,
    ]


def _csv(header: Sequence[str], lines: Iterable[Sequence[_Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, header))
    writer.writerows([_cell(value) for value in line] for line in lines)
    return text.getvalue()


def _cell(value: _Cell) -> _Cell:
    """A text that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
