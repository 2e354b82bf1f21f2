"""The paper's tables as `conf/paper.yaml` has them: published figures, and what makes each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from missrec.runs.groups import Setup

STATISTICS = ("users", "items", "images", "interactions", "length")
"""The columns of Table 1."""


class Dataset(NamedTuple):
    """A data set of the paper.

    Attributes:
        name: as the paper calls it.
        choices: name of the data of a run -> the `data=` that makes it, the preferred one first.
        published: figures of Table 1.
        known: the set in `conf/known_domains.yaml` that it should be.
        sum_of: data sets that it consists of.
    """

    name: str
    choices: Mapping[str, str]
    published: Mapping[str, float]
    known: str | None
    sum_of: tuple[str, ...]


class Variant(NamedTuple):
    """One of several ways to make a table; `pretrained` is None where its rows say it."""

    name: str
    pretrained: bool | None
    note: str


class TableRow(NamedTuple):
    """A row of a table.

    Attributes:
        label: as the table shows it.
        part: heading of the rows it stands among; empty for the paper's own.
        variant: the only variant that has it; None for all.
        run: what its runs are, see `Setup`; None where nothing makes it.
        published: data set -> metric -> figure.
        trained: whether its seeds can differ.
    """

    label: str
    part: str
    variant: str | None
    run: Mapping[str, Any] | None
    published: Mapping[str, Mapping[str, float]]
    trained: bool

    def setup(self, variant: Variant, data: str) -> Setup | None:
        """What its runs are in a variant of the table, on some data."""
        if self.run is None:
            return None
        pretrained = self.run.get("pretrained", variant.pretrained)
        names = {key: str(self.run[key]) for key in ("model", "inputs", "transfer")}
        ablation = str(self.run.get("ablation", "full"))
        return Setup(**names, ablation=ablation, pretrained=bool(pretrained), data=data)


class Table(NamedTuple):
    """A table, of the paper or of what ran: its rows are compared with those of `references`."""

    name: str
    title: str
    metrics: tuple[str, ...]
    references: tuple[str, ...]
    datasets: tuple[str, ...]
    variants: tuple[Variant, ...]
    rows: tuple[TableRow, ...]
    is_own: bool = False


class Paper(NamedTuple):
    """All tables; Table 1 is `datasets`."""

    datasets: Mapping[str, Dataset]
    tables: tuple[Table, ...]

    def dataset_of(self, data: str) -> Dataset | None:
        """The data set of the paper that data of this name should be."""
        return next((found for found in self.datasets.values() if data in found.choices), None)

    def has_row_of(self, setup: Setup) -> bool:
        """Whether runs of this kind belong into a row of a table."""
        return any(
            row.setup(variant, setup.data) == setup
            for table in self.tables
            for variant in table.variants
            for row in table.rows
        )


def read_paper(content: Mapping[str, Any]) -> Paper:
    """The tables from the content of `conf/paper.yaml`.

    Raises:
        ValueError: an entry is missing or malformed, or names what is not there.
    """
    try:
        datasets = {name: _dataset(name, entry) for name, entry in content["datasets"].items()}
        paper = Paper(datasets, tuple(_table(entry) for entry in content["tables"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the paper's tables cannot be read: {error!r}") from error
    for table in paper.tables:
        unknown = [name for name in table.datasets if name not in datasets]
        if unknown:
            raise ValueError(f"{table.name}: {unknown[0]} is not among the datasets")
        labels = [row.label for row in table.rows]
        (reference,) = table.references
        if reference not in [row.label for row in table.rows if row.variant is None]:
            raise ValueError(
                f"{table.name}: reference ({reference}) must label a row of all variants"
            )
        if len(set(labels)) < len(labels):
            raise ValueError(f"{table.name}: two rows have the same label")
    return paper


def _dataset(name: str, entry: Mapping[str, Any]) -> Dataset:
    return Dataset(
        name=name,
        choices=dict(entry["data"]),
        published=dict(entry.get("published", {})),
        known=entry.get("known"),
        sum_of=tuple(entry.get("sum_of", ())),
    )


def _table(entry: Mapping[str, Any]) -> Table:
    metrics = tuple(entry["metrics"])
    variants = entry.get("variants", [{"name": "", "pretrained": None}])
    return Table(
        name=entry["name"],
        title=entry["title"],
        metrics=metrics,
        references=(entry["reference"],),
        datasets=tuple(entry["datasets"]),
        variants=tuple(
            Variant(variant["name"], variant["pretrained"], variant.get("note", ""))
            for variant in variants
        ),
        rows=tuple(_row(row, metrics) for row in entry["rows"]),
    )


def _row(entry: Mapping[str, Any], metrics: Sequence[str]) -> TableRow:
    published = {}
    for dataset, figures in entry.get("published", {}).items():
        if len(figures) != len(metrics):
            raise ValueError(
                f"{entry['label']}, {dataset}: {len(figures)} published figures, expected "
                f"{len(metrics)}"
            )
        published[dataset] = dict(zip(metrics, figures, strict=True))
    run = entry.get("run")
    missing = {"model", "inputs", "transfer"} - set(run or ("model", "inputs", "transfer"))
    if missing:
        raise ValueError(f"{entry['label']}: run names no {', '.join(sorted(missing))}")
    return TableRow(
        label=entry["label"],
        part=entry.get("part", ""),
        variant=entry.get("variant"),
        run=run,
        published=published,
        trained=bool(entry.get("trained", True)),
    )
