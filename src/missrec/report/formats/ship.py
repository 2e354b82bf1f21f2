"""The page "Fit to ship?" as HTML that needs nothing else: no network, no other file."""

from __future__ import annotations

from plotly.offline import get_plotlyjs

from missrec.report import ship as sentences
from missrec.report.formats.html import html_page
from missrec.report.list_metrics import described, list_metrics
from missrec.report.ship import METRICS, Ship


def ship_page(ship: Ship) -> str:
    """The page; whatever comes from runs and data is escaped."""
    return html_page(
        "ship.html.j2",
        ship=ship,
        say=sentences,
        metrics=METRICS,
        against=[(one.name, one.compared) for one in ship.baselines],
        without=[(one.part, one.compared) for one in ship.knock_outs],
        lists=[(described(name), ship.run.metrics[f"test/{name}"]) for name in _lists(ship)],
        plotly_js=get_plotlyjs() if ship.buckets or ship.curves else "",
    )


def _lists(ship: Ship) -> list[str]:
    return list_metrics(ship.run.tested)
