"""The report as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

from statistics import mean
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from missrec.report.contents import Report, other_settings
from missrec.report.formats import words
from missrec.report.paper import STATISTICS
from missrec.report.sections import Section


def page(report: Report) -> str:
    """The page; whatever comes from runs is escaped."""
    return html_page(
        "report.html.j2",
        report=report,
        other_settings=other_settings,
        mean=mean,
        statistics=STATISTICS,
        plotly_js=get_plotlyjs(),
        by_table=_by_table(report),
    )


def html_page(template: str, **shown: Any) -> str:
    """A page of the folder `templates`, whose texts are escaped; it has `words`, too."""
    environment = Environment(
        loader=PackageLoader("missrec.report.formats"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    return environment.get_template(template).render(words=words, **shown)


def _by_table(report: Report) -> dict[str, list[Section]]:
    tables: dict[str, list[Section]] = {}
    for section in report.filled:
        tables.setdefault(f"{section.table.name}: {section.table.title}", []).append(section)
    return tables
