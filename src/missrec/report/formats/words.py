"""Figures as text, the same in every format of the report."""

from __future__ import annotations

from collections.abc import Mapping

from missrec.report.sections import Comparison, ResultRow, Section
from missrec.runs.groups import Group, mean_and_deviation

LEVEL = 0.05
MINUS, NONE = "\N{MINUS SIGN}", "\N{EN DASH}"


def metric_name(metric: str) -> str:
    """Such as R@10 for recall@10, as the paper's tables."""
    name, _, cutoff = metric.partition("@")
    return f"{ {'recall': 'R', 'ndcg': 'N'}.get(name, name.upper()) }@{cutoff}"


def score(values: list[float]) -> str:
    """Mean ± standard deviation over seeds."""
    found = mean_and_deviation(values)
    if found is None:
        return NONE
    average, deviation = found
    return f"{average:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")


def published(row: ResultRow, metric: str) -> str:
    """The published figure."""
    return f"{row.published[metric]:.4f}" if metric in row.published else NONE


def count(figures: Mapping[str, float], name: str) -> str:
    """A figure of Table 1."""
    if name not in figures:
        return NONE
    return f"{figures[name]:,.2f}" if name == "length" else f"{figures[name]:,.0f}"


def mark(comparison: Comparison | None) -> str:
    """▲ or ▼ where a row differs from the reference after Holm's correction."""
    if comparison is None or comparison.adjusted >= LEVEL:
        return ""
    return "▲" if comparison.difference.mean > 0 else "▼"


def signed(value: float, digits: int) -> str:
    """With a real minus, and no sign on what rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", MINUS)


def interval(comparison: Comparison) -> str:
    """The 95 % interval of the difference."""
    difference = comparison.difference
    return f"{signed(difference.low, 4)} to {signed(difference.high, 4)}"


def p_value(adjusted: float) -> str:
    """A p-value with as many digits as one can rely on."""
    return f"{adjusted:.3f}" if adjusted >= 0.001 else "< 0.001"


def seeds(group: Group | None) -> str:
    """The number of runs and their seeds."""
    if group is None:
        return "0"
    named = ", ".join("none" if run.seed is None else str(run.seed) for run in group.runs)
    return f"{len(group.runs)} (seed{'s' if len(group.runs) > 1 else ''} {named})"


def short(flag: str) -> str:
    """The kind of a flag, without its details."""
    return flag.partition(":")[0].partition(" (")[0]


def explanation(section: Section) -> str:
    """How the section is to be read."""
    if not section.num_tests:
        return ""
    return (
        f"Differences are row minus {section.table.reference}, paired over users, the seeds of a "
        f"user averaged first; 95 % bootstrap intervals. p is Holm's, over the {section.num_tests} "
        f"comparisons of this table; ▲ and ▼ mark p < {LEVEL}."
    )
