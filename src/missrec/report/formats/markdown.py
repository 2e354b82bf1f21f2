"""The report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from missrec.report.contents import OtherRow, Report, Statistics, other_settings
from missrec.report.formats.words import (
    about_lists,
    count,
    detectable,
    explanation,
    interval,
    list_commands,
    list_meanings,
    list_score,
    mark,
    metric_name,
    p_value,
    published,
    score,
    seeds,
    signed,
)
from missrec.report.paper import STATISTICS
from missrec.report.sections import Comparison, ResultRow, Section

_COMMANDS_SHOWN = 5
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def markdown(report: Report) -> str:
    """The whole report."""
    return "\n".join(_lines(report)).rstrip() + "\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _lines(report: Report) -> Iterator[str]:
    yield from ("# Report", "")
    sources = plain(", ".join(report.sources))
    yield f"{len(report.runs)} finished runs in {sources}, {report.made_at}."
    title = ""
    for section in report.filled:
        if section.table.title != title:
            title = section.table.title
            yield from ("", f"## {plain(section.table.name)}: {plain(title)}")
        yield from _section(section)
        for figure in report.figures_of(section):
            yield from ("", f"#### {plain(figure.title)}", "", plain(figure.caption), "")
            yield f"![{plain(figure.title)}]({figure.files[0].name})"
    if report.present:
        yield from ("", "## Table 1: data sets", "", *_statistics(report.present))
    yield from ("", "## What is missing")
    yield from _missing(report)


def _missing(report: Report) -> Iterator[str]:
    yield from _folded("Figures without data", _bullets(report.figure_notes))
    if report.others:
        table = list(_other_table(report.others, report.metrics))
        yield from _folded("Runs in no table: there for others to start from", table)
    for title, runs in (("Unfinished runs", report.unfinished), ("Broken runs", report.broken)):
        yield from _folded(title, _bullets([f"{name}: {why}" for name, why in runs.items()]))
    if report.absent:
        table = list(_statistics(report.absent))
        yield from _folded("Data sets of the paper that are not here", table)
    if report.empty:
        titles = _bullets([section.title for section in report.empty])
        told = "The commands are in report.html and results.csv."
        yield from _folded("Tables of the paper that nothing has run for", [told, "", *titles])


def _folded(summary: str, lines: Sequence[str]) -> Iterator[str]:
    """Lines that a reader unfolds; nothing without any."""
    if lines:
        yield from ("", "<details>", f"<summary>{summary}</summary>", "", *lines, "", "</details>")


def _statistics(statistics: Sequence[Statistics]) -> Iterator[str]:
    columns = [column for name in STATISTICS for column in (name, "paper")]
    rows = []
    for row in statistics:
        cells = [plain(row.dataset.name)]
        for name in STATISTICS:
            cells += [count(row.found, name), count(row.dataset.published, name)]
        rows.append([*cells, plain(row.note)])
    yield from _table(["data set", *columns, ""], rows, left={0, len(columns) + 1})


def _section(section: Section) -> Iterator[str]:
    metrics = section.table.metrics
    yield from ("", f"### {plain(section.title)}", "")
    yield from (f"{plain(note)}\n" for note in section.notes)
    yield from _scores(section)
    if section.has_published and section.empty:
        yield from _folded("Published, not run here", list(_published(section)))
    if section.comparisons:
        yield from ("", plain(explanation(section)))
    for reference in section.table.references:
        if compared := section.compared_with(reference):
            against = [row.against(reference) for row in compared]
            rows = [
                [plain(row.label), *(_difference(found[metric], metric) for metric in metrics)]
                for row, found in zip(compared, against, strict=True)
            ]
            header = [f"against {plain(reference)}", *map(metric_name, metrics)]
            yield from ("", *_table(header, rows, left=set(range(len(header)))))
    yield from _lists(section)
    if section.remarks:
        yield from ("", *_bullets([f"{label}: {remark}" for label, remark in section.remarks]))
    if others := other_settings(section):
        yield from ("", "Same rows, other settings; in no row and no comparison:", "")
        yield from _other_table(others, metrics)
    yield from _commands("Missing", section.rows)


def _lists(section: Section) -> Iterator[str]:
    """Beyond accuracy."""
    if metrics := section.list_metrics:
        yield from ("", "Beyond accuracy:", "", plain(about_lists(section)), "")
        yield from (*_bullets(list_meanings(section)), "")
        rows = [
            [plain(row.label), seeds(row.group), *(list_score(row, metric) for metric in metrics)]
            for row in section.filled
            if not row.is_computed
        ]
        yield from _table(["", "runs", *map(metric_name, metrics)], rows, left={0, 1})
    if commands := list_commands(section):
        yield from ("", f"Runs whose lists were not measured ({len(commands)}):", "")
        more = len(commands) - _COMMANDS_SHOWN
        rest = [f"# and {more} more, in report.html"] if more > 0 else []
        yield from ("```bash", *commands[:_COMMANDS_SHOWN], *rest, "```")


def _scores(section: Section) -> Iterator[str]:
    beside = ["paper"] if section.has_published else []
    columns = [c for metric in section.table.metrics for c in (metric_name(metric), *beside)]
    rows = []
    for part, own in section.parts:
        if part:
            rows.append([f"*{plain(part)}*", *[""] * (1 + len(columns))])
        for row in own:
            cells = [plain(row.label), seeds(row.group)]
            for metric in section.table.metrics:
                shown = score(row.values(metric))
                shown = f"**{shown}**" if section.is_best(row, metric) else shown
                cells.append(f"{shown} {mark(section.mark_of(row, metric))}".strip())
                cells += [published(row, metric)] if beside else []
            rows.append(cells)
    yield from _table(["", "runs", *columns], rows, left={0, 1})


def _published(section: Section) -> Iterator[str]:
    """The rows that only the paper has."""
    metrics = section.table.metrics
    rows = [
        [plain(row.label), *(published(row, metric) for metric in metrics)]
        for row in section.empty
        if row.published
    ]
    yield from _table(["published", *map(metric_name, metrics)], rows, left={0})


def _difference(found: Comparison, metric: str) -> str:
    users = f", {signed(found.num_users, 1)} users" if metric.startswith("recall") else ""
    shown = f"{signed(found.difference.mean, 4)} ({interval(found)}){users}"
    if found.adjusted is None:
        return shown
    return f"{shown}, p {plain(p_value(found.adjusted))}, detectable {detectable(found)}"


def _other_table(others: Sequence[OtherRow], metrics: Sequence[str]) -> Iterator[str]:
    rows = [
        [
            plain(row.label),
            seeds(row.group),
            *(score(row.group.values(metric)) for metric in metrics),
            plain("; ".join(row.flags)),
        ]
        for row in others
    ]
    header = ["", "runs", *map(metric_name, metrics), ""]
    yield from _table(header, rows, left={0, 1, len(header) - 1})


def _commands(title: str, rows: Sequence[ResultRow]) -> Iterator[str]:
    missing = [row for row in rows if row.command]
    if missing:
        yield from ("", f"{plain(title)}:", "", "```bash")
        for row in missing:
            yield f"{row.command}  # {' '.join(row.label.split())}"
        yield "```"


def _bullets(texts: Sequence[str]) -> list[str]:
    return [f"- {plain(text)}" for text in texts]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], left: set[int]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    rules = ("---" if column in left else "---:" for column in range(len(header)))
    yield f"| {' | '.join(rules)} |"
    yield from (f"| {' | '.join(row)} |" for row in rows)
