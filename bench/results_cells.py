"""The cells of the docs' tables: what a row has, as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any, NamedTuple

from missrec.report.formats.words import (
    NONE,
    detectable,
    interval,
    mark,
    p_value,
    score,
    signed,
)
from missrec.report.sections import Comparison


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        key: its name in `tables.yaml` and `record.json`.
        label: as tables show it.
        texts: what its row in `tables.yaml` says besides.
        published: metric such as `recall@10` -> the paper's figure.
        measured: what `record.json` holds of it; nothing where it has not been run.
    """

    key: str
    label: str
    texts: Mapping[str, Any]
    published: Mapping[str, float]
    measured: Mapping[str, Any]

    @property
    def is_before(self) -> bool:
        """Whether its figures are older than ties in expectation and seeds that are drawn."""
        return "before" in self.measured

    def mean(self, metric: str) -> float:
        """The mean over seeds of `val/ndcg@10` and the like.

        Raises:
            ValueError: it has not been measured.
        """
        found = self.measured.get("metrics", {}).get(metric)
        if found is None:
            raise ValueError(f"{self.key} has no {metric}")
        return float(found["mean"]) if isinstance(found, Mapping) else mean(found)

    def value(self, metric: str) -> float:
        """The mean of a metric; of a published row the paper's."""
        if self.texts.get("is_published"):
            return self.published[metric.removeprefix("test/")]
        return self.mean(metric)

    def over_published(self, metric: str) -> float:
        """The mean of a test metric over the published figure, minus 1.

        Raises:
            ValueError: one of the two is missing.
        """
        name = metric.removeprefix("test/")
        if name not in self.published:
            raise ValueError(f"{self.key} has no published {name}")
        return self.mean(f"test/{name}") / self.published[name] - 1


def cell(row: Row, kind: str, *names: str, compared: Mapping[str, Comparison]) -> str:
    """A cell of a kind, of what `names` say of the row; differences are among `compared`."""
    if kind == "difference":
        return ", ".join(_difference(compared[name]) for name in names if name in compared)
    return _CELLS[kind](row, *names)


def _score(row: Row, metric: str) -> str:
    """Mean ± deviation; of a published row the paper's."""
    if row.texts.get("is_published"):
        figure = row.published.get(metric.removeprefix("test/"))
        return NONE if figure is None or metric.startswith("val/") else short(f"{figure:.4f}")
    found = row.measured["metrics"].get(metric, [])
    if not isinstance(found, Mapping):
        return short(score(found))
    deviation = f" ± {found['deviation']:.4f}" if "deviation" in found else ""
    return short(f"{found['mean']:.4f}{deviation}")


def _each(row: Row, metric: str) -> str:
    """The figure of each seed."""
    found = row.measured.get("metrics", {}).get(metric, [])
    values = [found["mean"]] if isinstance(found, Mapping) else found
    return short(" ".join(f"{value:.4f}" for value in values)) or NONE


def _paper(row: Row, *metrics: str) -> str:
    """Published figures, and how far ours are from them."""
    if not row.published or row.texts.get("is_published"):
        return NONE
    return ", ".join(
        f"{short(f'{row.published[metric]:.4f}')} ({signed(100 * row.over_published(metric), 1)} %)"
        for metric in metrics
    )


def _difference(found: Comparison) -> str:
    shown = f"{signed(found.difference.mean, 4)} {mark(found)}".strip() + f" ({interval(found)})"
    if found.adjusted is not None:
        shown += f", p {p_value(found.adjusted)}, detectable {detectable(found)}"
    return short(shown)


def _share(row: Row, metric: str) -> str:
    """A metric that is a share, in per cent."""
    return f"{100 * row.mean(metric):.0f} %" if row.measured else NONE


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.1f} %"


def _rate(row: Row) -> str:
    """The learning rate, and whether it was chosen on validation from several."""
    if "rate" not in row.measured:
        return NONE
    rate, tried = row.measured["rate"], row.measured.get("rates", {})
    if not tried:
        return f"{rate:g}, not tuned"
    best = float(max(tried, key=lambda name: tried[name]))
    if best == rate:
        return f"{rate:g}, best of {len(tried)}"
    return f"{rate:g}; on validation {best:g} is better"


def _epochs(row: Row) -> str:
    epochs = [round(number) for number in row.measured.get("epochs", [])]
    return NONE if not epochs else NONE.join(map(str, sorted({min(epochs), max(epochs)})))


def _seeds(row: Row) -> str:
    if "rate" not in row.measured:  # what learns nothing is the same with every seed
        return NONE
    return str(len(row.measured["seeds"])) if row.measured.get("seeds") else NONE


def _text(row: Row, name: str) -> str:
    return str(row.texts.get(name, ""))


_CELLS: Mapping[str, Callable[..., str]] = {
    "score": _score,
    "each": _each,
    "paper": _paper,
    "rate": _rate,
    "epochs": _epochs,
    "seeds": _seeds,
    "share": _share,
    "text": _text,
}


def short(text: str) -> str:
    """Without the zero before a decimal point."""
    return re.sub(r"(?<![\d.])0(?=\.\d)", "", text)
