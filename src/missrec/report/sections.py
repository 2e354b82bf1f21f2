"""Tables, data set by data set: the paper's, with the runs that fit their rows, and others."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, groupby
from statistics import mean
from typing import NamedTuple

from missrec.metrics.significance import PairedDifference
from missrec.report.list_metrics import list_metrics
from missrec.report.paper import Dataset, Paper, Table, TableRow, Variant
from missrec.runs.groups import Group, Run, Setup, preferred

_LONGEST_NAME = 80


class Comparison(NamedTuple):
    """A row minus the reference row in one metric.

    Attributes:
        difference: of the two.
        adjusted: the p-value after Holm; None where there is none.
    """

    difference: PairedDifference
    adjusted: float | None

    @property
    def num_users(self) -> float:
        """The difference as a number of users, which only Recall has."""
        return self.difference.mean * self.difference.num_users


class ResultRow(NamedTuple):
    """A row of a section.

    Attributes:
        definition: of the table.
        setup: what its runs are; None where nothing makes it.
        group: its runs; None without.
        others: runs of the same setup with other settings, which are not in the row.
        published: metric -> figure.
        comparisons: label of a reference row -> metric -> against it.
        flags: what a reader must know of its runs.
        command: what makes its missing seeds; empty where none is missing, or nothing makes them.
    """

    definition: TableRow
    setup: Setup | None
    group: Group | None
    others: tuple[Group, ...]
    published: Mapping[str, float]
    comparisons: Mapping[str, Mapping[str, Comparison]] = {}
    flags: tuple[str, ...] = ()
    command: str = ""

    @property
    def label(self) -> str:
        """As the table shows it."""
        return self.definition.label

    @property
    def is_computed(self) -> bool:
        """Whether it has no run, and was ranked for a report: nothing else is known of it."""
        return self.group is not None and any(run.is_computed for run in self.group.runs)

    def values(self, metric: str) -> list[float]:
        """A test metric of each of its runs."""
        return self.group.values(metric) if self.group else []

    def against(self, reference: str) -> Mapping[str, Comparison]:
        """Metric -> against a reference row; empty where they are not compared."""
        return self.comparisons.get(reference, {})


class Section(NamedTuple):
    """A table on one data set, in one variant.

    Attributes:
        table: the table.
        variant: of the table.
        dataset: of the paper; None of other data.
        data: name of the data of its runs; empty where nothing makes it.
        rows: in the order of the table.
        key: its title in letters, digits and hyphens, unlike any other section's.
        notes: what a reader must know of it.
    """

    table: Table
    variant: Variant
    dataset: Dataset | None
    data: str
    rows: tuple[ResultRow, ...]
    key: str = ""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Such as `Table 2, Scientific, from scratch`."""
        name = self.dataset.name if self.dataset else self.data
        if self.dataset and self.data != next(iter(self.dataset.choices), ""):
            name = f"{name} as {self.data}"
        return ", ".join(filter(None, (self.table.name, name, self.variant.name)))

    @property
    def has_runs(self) -> bool:
        """Whether any row that makes the variant has a run."""
        return any(
            row.group and (row.group.setup.pretrained or not self.variant.pretrained)
            for row in self.rows
        )

    @property
    def has_published(self) -> bool:
        """Whether the paper has figures of it."""
        return any(row.published for row in self.rows)

    @property
    def references(self) -> list[ResultRow]:
        """The rows that the others are compared with."""
        by_label = {row.label: row for row in self.rows}
        return [by_label[label] for label in self.table.references]

    @property
    def filled(self) -> list[ResultRow]:
        """The rows that have runs."""
        return [row for row in self.rows if row.group]

    @property
    def empty(self) -> list[ResultRow]:
        """The rows that have none."""
        return [row for row in self.rows if not row.group]

    def mark_of(self, row: ResultRow, metric: str) -> Comparison | None:
        """The comparison that marks a figure: with the first reference."""
        first = self.table.references[:1]
        return row.against(first[0]).get(metric) if first else None

    def compared_with(self, reference: str) -> list[ResultRow]:
        """The rows that are compared with one of the references."""
        return [row for row in self.rows if row.against(reference)]

    def is_best(self, row: ResultRow, metric: str) -> bool:
        """Whether a row has the highest mean of several."""
        found = [mean(values) for other in self.rows if (values := other.values(metric))]
        own = row.values(metric)
        return bool(own) and len(found) > 1 and mean(own) == max(found)

    @property
    def parts(self) -> list[tuple[str, list[ResultRow]]]:
        """The rows that have runs, below their headings."""
        return [
            (part, list(rows))
            for part, rows in groupby(self.filled, lambda row: row.definition.part)
        ]

    @property
    def remarks(self) -> list[tuple[str, str]]:
        """Label of a row, and what a reader must know of it."""
        return [(row.label, flag) for row in self.rows for flag in row.flags]

    @property
    def comparisons(self) -> list[Comparison]:
        """Those of all rows, references and metrics."""
        against = [found for row in self.rows for found in row.comparisons.values()]
        return [comparison for found in against for comparison in found.values()]

    @property
    def runs(self) -> list[Run]:
        """Those of all rows."""
        return [run for row in self.rows if row.group for run in row.group.runs]

    @property
    def list_metrics(self) -> list[str]:
        """The metrics of recommended lists that any run has, such as `coverage@10`."""
        return list_metrics(name for run in self.runs for name in run.tested)

    @property
    def without_lists(self) -> list[Run]:
        """The runs that have no such metric; older ones recorded none."""
        return [r for r in self.runs if not r.is_computed and not list_metrics(r.tested)]

    @property
    def floor(self) -> ResultRow | None:
        """The first row of what learns nothing, by which the others are read."""
        rows = (row for row in self.rows if row.setup and not row.is_computed)
        return next((row for row in rows if not row.definition.trained), None)

    @property
    def num_tests(self) -> int:
        """How many p-values Holm's correction was over."""
        return sum(found.adjusted is not None for found in self.comparisons)


def plan_sections(paper: Paper, groups: Iterable[Group]) -> list[Section]:
    """The sections with their runs, not yet compared.

    A table has a section for each of its data sets, with runs or without, and one for any other
    data on which two of its rows have runs, not floors alone.
    """
    by_setup: dict[Setup, list[Group]] = {}
    for group in groups:
        by_setup.setdefault(group.setup, []).append(group)
    found = list(dict.fromkeys(setup.data for setup in by_setup))
    sections: list[Section] = []
    for table in paper.tables:
        for dataset, data, is_own in _data_of(paper, table, found):
            for variant in table.variants:
                section = _planned(table, variant, dataset, data, by_setup)
                filled = [row for row in section.rows if row.group]
                is_a_table = len(filled) > 1 and any(row.definition.trained for row in filled)
                if is_own or (section.has_runs and is_a_table):
                    taken = {other.key for other in sections}
                    sections.append(section._replace(key=unused_name(section.title, taken)))
    return sections


def unused_name(text: str, taken: Container[str]) -> str:
    """The text in letters, digits and hyphens, for addresses and file names; none of `taken`."""
    known = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower())
    base = "-".join(known.split())[:_LONGEST_NAME]
    numbered = (f"{base}-{number}" for number in count(2))
    return next(name for name in chain([base], numbered) if name and name not in taken)


def _data_of(
    paper: Paper, table: Table, found: Sequence[str]
) -> Iterator[tuple[Dataset | None, str, bool]]:
    """Data set, name of its data, and whether it is the table's own, shown without runs too."""
    own = [paper.datasets[name] for name in table.datasets]
    for dataset in own:
        first, *others = dataset.choices or [""]
        yield dataset, first, True
        yield from ((dataset, data, False) for data in others)
    for data in found:
        if not any(data in dataset.choices for dataset in own):
            yield paper.dataset_of(data), data, False


def _planned(
    table: Table,
    variant: Variant,
    dataset: Dataset | None,
    data: str,
    by_setup: Mapping[Setup, Sequence[Group]],
) -> Section:
    rows = []
    for definition in table.rows:
        if definition.variant not in {None, variant.name}:
            continue
        setup = definition.setup(variant, data) if data else None
        groups = preferred(by_setup.get(setup, ())) if setup else []
        published = definition.published.get(dataset.name, {}) if dataset else {}
        group = groups[0] if groups else None
        rows.append(ResultRow(definition, setup, group, tuple(groups[1:]), published))
    return Section(table, variant, dataset, data, tuple(rows))
