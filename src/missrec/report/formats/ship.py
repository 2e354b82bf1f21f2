"""The page "Fit to ship?" as HTML that needs nothing else: no network, no other file."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from missrec.report import ship as sentences
from missrec.report.formats import words
from missrec.report.list_metrics import described, list_metrics
from missrec.report.ship import METRICS, Ship


def ship_page(ship: Ship) -> str:
    """The page; whatever comes from runs and data is escaped."""
    environment = Environment(
        loader=PackageLoader("missrec.report.formats"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    return environment.get_template("ship.html.j2").render(
        ship=ship,
        say=sentences,
        words=words,
        metrics=METRICS,
        against=[(one.name, one.compared) for one in ship.baselines],
        without=[(one.part, one.compared) for one in ship.knock_outs],
        lists=[(described(name), ship.run.metrics[f"test/{name}"]) for name in _lists(ship)],
        plotly_js=get_plotlyjs() if ship.buckets or ship.curves else "",
    )


def _lists(ship: Ship) -> list[str]:
    return list_metrics(ship.run.tested)
