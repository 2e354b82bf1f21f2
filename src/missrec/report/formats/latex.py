"""The report's tables as LaTeX, for `booktabs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from missrec.report.contents import Report
from missrec.report.formats.words import (
    MINUS,
    NONE,
    about_lists,
    count,
    explanation,
    list_score,
    mark,
    metric_name,
    published,
    score,
    signed,
)
from missrec.report.paper import STATISTICS
from missrec.report.sections import ResultRow, Section

_SPECIAL: Mapping[int, str] = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        MINUS: "$-$",
        NONE: "--",
        "▲": r"$^{\blacktriangle}$",
        "▼": r"$^{\blacktriangledown}$",
        "…": r"\ldots{}",
    }
)


def latex(report: Report) -> str:
    """A table for each section with runs, and Table 1; what is missing is in the other formats."""
    return "\n".join(_lines(report)) + "\n"


def plain(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return " ".join(text.split()).translate(_SPECIAL)


def _lines(report: Report) -> Iterator[str]:
    yield r"% \usepackage{booktabs,amssymb,graphicx}"
    for section in report.filled:
        yield from _section(section)
    yield from _statistics(report)


def _statistics(report: Report) -> Iterator[str]:
    if not report.present:
        return
    columns = _columns(STATISTICS, with_paper=True)
    yield from _begin("Data sets, ours and the paper's.", "report:table-1", columns)
    for row in report.present:
        cells = [plain(row.dataset.name)]
        for name in STATISTICS:
            for figures in (row.found, row.dataset.published):
                cells.append(plain(count(figures, name)))
        yield f"{' & '.join(cells)} \\\\"
    yield from _end()


def _section(section: Section) -> Iterator[str]:
    metrics = section.table.metrics
    caption = f"{section.title}: {section.table.title}. {explanation(section)}"
    notes = " ".join(section.notes)
    columns = _columns(map(metric_name, metrics), with_paper=section.has_published)
    yield from _begin(f"{caption} {notes}", f"report:{section.key}", ["runs", *columns])
    for part, rows in section.parts:
        if part:
            heading = rf"\emph{{{plain(part)}}}"
            yield rf"\midrule \multicolumn{{{2 + len(columns)}}}{{l}}{{{heading}}} \\"
        for row in rows:
            yield f"{' & '.join(_cells(section, row))} \\\\"
    yield from _end()
    for row in section.rows:
        for flag in row.flags:
            yield f"% {' '.join(f'{row.label}: {flag}'.split())}"
    if section.list_metrics:
        yield from _lists(section)


def _lists(section: Section) -> Iterator[str]:
    """Beyond accuracy."""
    metrics = section.list_metrics
    caption = f"{section.title}, beyond accuracy. {about_lists(section)}"
    yield from _begin(caption, f"report:{section.key}-lists", list(map(metric_name, metrics)))
    for row in (row for row in section.filled if not row.is_computed):
        figures = [plain(list_score(row, metric)) for metric in metrics]
        yield f"{' & '.join([plain(row.label), *figures])} \\\\"
    yield from _end()


def _cells(section: Section, row: ResultRow) -> Iterator[str]:
    yield plain(row.label)
    yield str(len(row.group.runs)) if row.group else "0"
    for metric in section.table.metrics:
        found = section.mark_of(row, metric)
        shown = plain(score(row.values(metric)))
        shown = rf"\textbf{{{shown}}}" if section.is_best(row, metric) else shown
        users = (
            rf" {{\scriptsize {plain(signed(found.num_users, 0))} users}}"
            if found and metric.startswith("recall")
            else ""
        )
        yield f"{shown}{plain(mark(found))}{users}"
        if section.has_published:
            yield plain(published(row, metric))


def _columns(names: Iterable[str], *, with_paper: bool) -> list[str]:
    return [column for name in names for column in (name, *(["paper"] if with_paper else []))]


def _begin(caption: str, label: str, columns: Sequence[str]) -> Iterator[str]:
    yield ""
    yield r"\begin{table*}"
    yield rf"\centering\small\caption{{{plain(caption)}}}\label{{{label}}}"
    yield r"\resizebox{\textwidth}{!}{%"
    yield rf"\begin{{tabular}}{{l{'r' * len(columns)}}}"
    yield rf"\toprule & {' & '.join(map(plain, columns))} \\ \midrule"


def _end() -> Iterator[str]:
    yield r"\bottomrule"
    yield r"\end{tabular}}"
    yield r"\end{table*}"
