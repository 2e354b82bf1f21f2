"""Figures as text, the same in every format of the report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from missrec.metrics.power import LEVEL, POWER
from missrec.metrics.significance import FEW_USERS
from missrec.report.list_metrics import described, is_list_metric, meanings
from missrec.report.sections import Comparison, ResultRow, Section
from missrec.runs.groups import Group, mean_and_deviation

ONE_SEED = (
    "Where a system that learns has one seed, the interval is over users alone and there is no p: "
    "nothing says how far another seed would come."
)
MINUS, NONE = "\N{MINUS SIGN}", "\N{EN DASH}"


def metric_name(metric: str) -> str:
    """Such as R@10 for recall@10, as the paper's tables."""
    if is_list_metric(metric):
        return described(metric).label
    name, _, cutoff = metric.partition("@")
    return f"{ {'recall': 'R', 'ndcg': 'N'}.get(name, name.upper()) }@{cutoff}"


def score(values: list[float], *, digits: int = 4) -> str:
    """Mean ± standard deviation over seeds."""
    found = mean_and_deviation(values)
    if found is None:
        return NONE
    average, deviation = found
    return f"{average:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def list_score(row: ResultRow, metric: str) -> str:
    """Mean ± standard deviation of a metric of lists, with the digits that it is read by."""
    return score(row.values(metric), digits=described(metric).digits)


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
    if comparison is None or comparison.adjusted is None or comparison.adjusted >= LEVEL:
        return ""
    return "▲" if comparison.difference.mean > 0 else "▼"


def signed(value: float, digits: int) -> str:
    """With a real minus, and no sign on what rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", MINUS)


def interval(comparison: Comparison) -> str:
    """The 95 % interval of the difference; one over users alone says so."""
    difference = comparison.difference
    alone = "" if difference.over_seeds else f", over {over(comparison)}"
    return f"{signed(difference.low, 4)} to {signed(difference.high, 4)}{alone}"


def over(comparison: Comparison) -> str:
    """What the interval of the difference holds over."""
    return "seeds and users" if comparison.difference.over_seeds else "users"


def detectable(comparison: Comparison) -> str:
    """The difference that as many seeds and users would find."""
    found = comparison.difference.detectable
    return NONE if found is None else f"{found:.4f}"


def p_value(adjusted: float | None) -> str:
    """A p-value with as many digits as one can rely on."""
    if adjusted is None:
        return NONE
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
    return explained(section.comparisons, " or ".join(section.table.references))


def explained(comparisons: Sequence[Comparison], reference: str) -> str:
    """How the comparisons of a table are to be read; empty without any."""
    differences = [found.difference for found in comparisons]
    if not differences:
        return ""
    num_tests = sum(found.adjusted is not None for found in comparisons)
    sentences = [
        f"Differences are row minus {reference}, paired over users, with 95 % intervals over seeds "
        "and users."
    ]
    if not all(found.over_seeds for found in differences):
        sentences.append(ONE_SEED)
    if num_tests:
        sentences.append(
            f"p is Holm's, over the {num_tests} test{'s' * (num_tests > 1)} of this table; ▲ and ▼ "
            f"mark p < {LEVEL}. Detectable is the true difference that {POWER:.0%} of such "
            f"comparisons would find, at {LEVEL} and without Holm's correction."
        )
    if any(found.has_few_users for found in differences):
        sentences.append(few_users(min(found.num_users for found in differences)))
    return " ".join(sentences)


def few_users(num_users: int) -> str:
    """What a table of so few users says."""
    return f"Only {num_users:,} users, fewer than {FEW_USERS}: intervals and p are rough."


def about_lists(section: Section) -> str:
    """How the metrics of lists of a section are to be read."""
    metrics = section.list_metrics
    sentences = [f"What test users are recommended, {_OVER_SEEDS}."]
    for group, what in _COLD.items():
        counted = [run for run in section.runs if f"test/{group}_users" in run.metrics]
        limits = {run.settings.get(f"metrics.lists.{group}") for run in counted} - {None}
        numbers = {run.metrics[f"test/{group}_users"] for run in counted}
        if limits and numbers:
            users = " or ".join(f"{number:,.0f}" for number in sorted(numbers))
            limit = " or ".join(sorted(map(str, limits)))
            sentences.append(f"{what.format(limit)}: {users} test users.")
    floor = section.floor
    if floor is not None and not any(floor.values(metric) for metric in metrics):
        sentences.append(f"{floor.label}, by which the others are read, has no run with them.")
    return " ".join(sentences)


_OVER_SEEDS = "mean ± standard deviation over seeds"
_COLD = {
    "cold_item": "Cold items occur at most {} times in training",
    "cold_user": "Cold users have a history of at most {} items",
}


def list_meanings(section: Section) -> list[str]:
    """What each kind of them says."""
    return [f"{name}: {meaning}" for name, meaning in meanings(section.list_metrics).items()]


def list_commands(section: Section) -> list[str]:
    """What measures the lists of runs that did not."""
    return [
        shlex.join(["python", "src/evaluate.py", f"run={run.folder}"])
        for run in section.without_lists
    ]
