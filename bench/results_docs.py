"""The tables and figures of the docs, from `docs/results/`: what was measured, and what is shown.

Between `<!--= expression -->` and `<!--/-->` stands what the expression comes to, such as
`table("floors")` or `behind("scientific/vqrec_t", "ndcg@10")`: the methods of `Results` that have
no underscore. `bench/results.py` writes them there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from missrec.metrics.significance import PairedDifference, holm
from missrec.report.formats.words import (
    NONE,
    detectable,
    explained,
    interval,
    mark,
    p_value,
    score,
    signed,
)
from missrec.report.paper import Paper
from missrec.report.sections import Comparison

BEFORE = "°"
"""Beside rows whose figures are from before."""

_MARKED = re.compile(r"<!--=(?P<asked>.+?)-->(?P<shown>.*?)<!--/-->", re.DOTALL)
_TYPED = re.compile(r"(?<![\w.])0?\.\d{4}|\d ?%")
_CODE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)


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


    def test(self, metric: str) -> float:
        """The mean of a test metric such as `recall@10`; of a published row the paper's."""
        shows_published = self.texts.get("is_published") and metric in self.published
        return self.published[metric] if shows_published else self.mean(f"test/{metric}")


class Results:
    """What was measured, as the docs show it."""

    def __init__(self, tables: Mapping[str, Any], record: Mapping[str, Any], paper: Paper) -> None:
        """Keeps what there is.

        Args:
            tables: content of `tables.yaml`.
            record: content of `record.json`.
            paper: the published figures.

        Raises:
            ValueError: a row is in a table, or in the record, and not among the rows.
        """
        self._tables = tables["tables"]
        self.rows = {
            key: Row(
                key, texts["label"], texts, _published(texts.get("paper"), paper), record.get(key, {})
            )
            for key, texts in tables["rows"].items()
        }
        named = {key for table in self._tables.values() for key in table["rows"]}
        if unknown := sorted((named | set(record)) - set(self.rows)):
            raise ValueError(f"{unknown[0]} is not among the rows of tables.yaml")

    def filled(self, text: str) -> str:
        """A document with what its expressions come to.

        Raises:
            ValueError: an expression names what is not there.
        """
        shown = {name: getattr(self, name) for name in ("table", "figure", "behind", "gap", "share")}

        def fill(match: re.Match[str]) -> str:
            try:
                value = _ENVIRONMENT.compile_expression(match["asked"], undefined_to_none=False)
                return f"<!--={match['asked']}-->{value(**shown)}<!--/-->"
            except Exception as error:  # whatever an expression raises
                raise ValueError(f"{match['asked'].strip()}: {error}") from error

        return _MARKED.sub(fill, text)

    def figure(self, key: str, metric: str) -> str:
        """The mean over seeds of a metric such as `test/recall@10`."""
        return _short(f"{self.rows[key].mean(metric):.4f}")

    def behind(self, key: str, metric: str, other: str | None = None) -> str:
        """By how many per cent a test metric such as `recall@10` is below the published one.

        With another row, below the figure of that.
        """
        row = self.rows[key]
        if other is None:
            return _percent(-_over_published(row, metric))
        return _percent(1 - row.test(metric) / self.rows[other].test(metric))

    def gap(self, key: str, other: str, metric: str) -> str:
        """How much larger the mean of a metric is than that of another row."""
        return _short(f"{self.rows[key].mean(metric) - self.rows[other].mean(metric):.4f}")

    def share(self, key: str, metric: str) -> str:
        """A metric that is a share, such as `test/tie_rate`, in whole per cent."""
        return f"{100 * self.rows[key].mean(metric):.0f} %"

    def table(self, name: str) -> str:
        """A table with the rows that have figures, and what a reader must know of them."""
        table = self._tables[name]
        rows = [
            row
            for row in map(self.rows.__getitem__, table["rows"])
            if row.measured or row.texts.get("is_published")
        ]
        if not rows:
            return "not measured yet"
        compared = self._comparisons(name, rows)
        columns = [column for column in table["columns"] if compared or column[1] != "difference"]
        lines = [_line(["", *(column[0] for column in columns)]), _line(["---"] * (1 + len(columns)))]
        for row in rows:
            cells = [
                _cell(row, *column[1:], compared=compared.get(row.key, {})) for column in columns
            ]
            label = f"{row.label} {BEFORE}" if row.is_before else row.label
            lines.append(_line([label, *cells]))
        notes = [f"\n{note}" for note in self._notes(table, rows, compared)]
        return "\n".join(["\n", *lines, *notes, "\n"])

    def references(self) -> Iterator[tuple[str, str]]:
        """Each row that a table compares, with the row it is compared with."""
        for table in self._tables.values():
            if "reference" in table:
                yield from ((key, table["reference"]) for key in table["rows"])

    def _comparisons(self, name: str, rows: Sequence[Row]) -> dict[str, dict[str, Comparison]]:
        """Row -> metric -> against the table's reference, p-values Holm's over the table."""
        reference = self._tables[name].get("reference")
        found = [
            (row.key, metric, PairedDifference(**difference))
            for row in rows
            for metric, difference in row.measured.get("against", {}).get(reference, {}).items()
        ]
        adjusted = iter(holm([d.p_value for *_, d in found if d.p_value is not None]))
        compared: dict[str, dict[str, Comparison]] = {}
        for key, metric, difference in found:
            p = None if difference.p_value is None else next(adjusted)
            compared.setdefault(key, {})[metric] = Comparison(difference, p)
        return compared

    def _notes(
        self,
        table: Mapping[str, Any],
        rows: Sequence[Row],
        compared: Mapping[str, Mapping[str, Comparison]],
    ) -> Iterator[str]:
        if every := [found for own in compared.values() for found in own.values()]:
            yield _short(explained(every, self.rows[table["reference"]].label))
        remarks = [f"{row.label}: {flag}" for row in rows for flag in row.measured.get("flags", [])]
        if remarks:
            yield f"{'; '.join(remarks)}."
        if any(row.is_before for row in rows):
            yield (
                f"{BEFORE} Measured before ties counted in expectation and seeds were drawn; the "
                "runs are gone, so no difference between them is tested. "
                f"`{table['command']}` makes them anew."
            )


def typed_figures(text: str) -> list[str]:
    """Measured figures of a document that no expression gives: decimals and per cent."""
    prose = _CODE.sub("", _MARKED.sub("", text))
    return _TYPED.findall(prose)


_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined)


def _published(named: Sequence[str] | None, paper: Paper) -> Mapping[str, float]:
    """The published figures that table, data set and label name."""
    if named is None:
        return {}
    name, dataset, label = named
    tables = [table for table in paper.tables if table.name == name]
    found = [row.published.get(dataset) for table in tables for row in table.rows if row.label == label]
    if not found or found[0] is None:
        raise ValueError(f"conf/paper.yaml has no {', '.join(named)}")
    return found[0]


def _over_published(row: Row, metric: str) -> float:
    if metric not in row.published:
        raise ValueError(f"{row.key} has no published {metric}")
    return row.test(metric) / row.published[metric] - 1


def _line(cells: Sequence[str]) -> str:
    return "|".join(["", *(f" {cell} " if cell else " " for cell in cells), ""])


def _cell(row: Row, kind: str, *names: str, compared: Mapping[str, Comparison]) -> str:
    if kind == "difference":
        return ", ".join(_difference(compared[name]) for name in names if name in compared)
    return _CELLS[kind](row, *names)


def _score(row: Row, metric: str) -> str:
    """Mean ± deviation; of a published row the paper's."""
    if row.texts.get("is_published"):
        figure = row.published.get(metric.removeprefix("test/"))
        return NONE if figure is None or metric.startswith("val/") else _short(f"{figure:.4f}")
    found = row.measured["metrics"].get(metric, [])
    if not isinstance(found, Mapping):
        return _short(score(found))
    deviation = f" ± {found['deviation']:.4f}" if "deviation" in found else ""
    return _short(f"{found['mean']:.4f}{deviation}")


def _each(row: Row, metric: str) -> str:
    """The figure of each seed."""
    found = row.measured.get("metrics", {}).get(metric, [])
    values = [found["mean"]] if isinstance(found, Mapping) else found
    return _short(" ".join(f"{value:.4f}" for value in values)) or NONE


def _paper(row: Row, *metrics: str) -> str:
    """Published figures, and how far ours are from them."""
    if not row.published or row.texts.get("is_published"):
        return NONE
    return ", ".join(
        f"{_short(f'{row.published[metric]:.4f}')} "
        f"({signed(100 * _over_published(row, metric), 1)} %)"
        for metric in metrics
    )


def _difference(found: Comparison) -> str:
    shown = f"{signed(found.difference.mean, 4)} {mark(found)}".strip() + f" ({interval(found)})"
    if found.adjusted is not None:
        shown += f", p {p_value(found.adjusted)}, detectable {detectable(found)}"
    return _short(shown)


def _share(row: Row, metric: str) -> str:
    """A metric that is a share, in per cent."""
    return f"{100 * row.mean(metric):.0f} %" if row.measured else NONE


def _percent(share: float) -> str:
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
    return NONE if not epochs else "–".join(map(str, sorted({min(epochs), max(epochs)})))


def _seeds(row: Row) -> str:
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


def _short(text: str) -> str:
    """Without the zero before a decimal point."""
    return re.sub(r"(?<![\d.])0(?=\.\d)", "", text)
