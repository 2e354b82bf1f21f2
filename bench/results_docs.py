"""The tables and figures of the docs, from `docs/results/`: what was measured, and what is shown.

Between `<!--= expression -->` and `<!--/-->` stands what the expression comes to, such as
`table("floors")` or `behind("scientific/vqrec_text", "ndcg@10")`: methods of `Results`.
`bench/results.py` writes it there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from between import line
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from results_cells import Row, cell, percent, short

from missrec.metrics.significance import PairedDifference, holm
from missrec.report.formats.words import explained
from missrec.report.paper import Paper
from missrec.report.sections import Comparison

BEFORE = "°"
"""Beside rows whose figures are from before."""

_SHOWN = ("table", "figure", "behind", "gap", "share")
_MARKED = re.compile(r"<!--=(?P<asked>.+?)-->(?P<shown>.*?)<!--/-->", re.DOTALL)
_TYPED = re.compile(r"(?<![\w.])0?\.\d{4}|\d ?%")
_CODE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)


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
                key,
                texts["label"],
                texts,
                texts.get("published") or _published(texts.get("paper"), paper),
                record.get(key, {}),
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
        shown = {name: getattr(self, name) for name in _SHOWN}

        def fill(match: re.Match[str]) -> str:
            try:
                value = _ENVIRONMENT.compile_expression(match["asked"], undefined_to_none=False)
                return f"<!--={match['asked']}-->{value(**shown)}<!--/-->"
            except Exception as error:  # whatever an expression raises
                raise ValueError(f"{match['asked'].strip()}: {error}") from error

        return _MARKED.sub(fill, text)

    def figure(self, key: str, metric: str) -> str:
        """The mean over seeds of a metric such as `test/recall@10`."""
        return short(f"{self.rows[key].mean(metric):.4f}")

    def behind(self, key: str, metric: str, other: str | None = None) -> str:
        """By how many per cent a metric such as `test/recall@10` is below the published figure.

        With another row, below that of the row.
        """
        row = self.rows[key]
        if other is None:
            return percent(-row.over_published(metric))
        return percent(1 - row.value(metric) / self.rows[other].value(metric))

    def gap(self, key: str, other: str, metric: str) -> str:
        """How much larger the mean of a metric is than that of another row."""
        return short(f"{self.rows[key].mean(metric) - self.rows[other].mean(metric):.4f}")

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
        lines = [
            line(["", *(column[0] for column in columns)]),
            line(["---"] * (1 + len(columns))),
        ]
        for row in rows:
            cells = [
                cell(row, *column[1:], compared=compared.get(row.key, {})) for column in columns
            ]
            label = f"{row.label} {BEFORE}" if row.is_before else row.label
            lines.append(line([label, *cells]))
        notes = [f"\n{note}" for note in self._notes(table, rows, compared)]
        return "\n".join(["\n", *lines, *notes, "\n"])

    def references(self) -> Iterator[tuple[str, str]]:
        """Each row that a table compares, with the row it is compared with."""
        for table in self._tables.values():
            if "reference" in table:
                yield from ((key, table["reference"]) for key in table["rows"])

    def _comparisons(self, name: str, rows: Sequence[Row]) -> dict[str, dict[str, Comparison]]:
        """Row -> metric -> against the table's reference, p-values Holm's over what it shows."""
        table = self._tables[name]
        reference = table.get("reference")
        tested = {column[2] for column in table["columns"] if column[1] == "difference"}
        found = [
            (row.key, metric, PairedDifference(**difference))
            for row in rows
            for metric, difference in row.measured.get("against", {}).get(reference, {}).items()
            if metric in tested
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
            yield short(explained(every, self.rows[table["reference"]].label))
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
    found = [
        row.published.get(dataset) for table in tables for row in table.rows if row.label == label
    ]
    if not found or found[0] is None:
        raise ValueError(f"conf/paper.yaml has no {', '.join(named)}")
    return found[0]
