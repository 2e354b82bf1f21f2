"""The tables of what ran: each data set with every system that ran on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count
from statistics import mean
from typing import NamedTuple

from missrec.metrics.paired import read_ranks
from missrec.report.paper import Paper, Table, TableRow, Variant
from missrec.report.sections import ResultRow, Section, unused_name
from missrec.runs.groups import Group, Setup, other_data, own_settings

BASELINES = "simple baselines"
"""Heading of the rows of what learns nothing."""

_NAME = "Your runs"
_TITLE = "every system that ran, data set by data set"
_WITH_INPUTS = re.compile(r"(.*) \([TVID+]+\)")
_INPUTS = {"t": "T", "v": "V", "tv": "T+V", "id": ""}
_TOLD = 2
"""Settings in a label; a flag tells them all."""


class OwnTables(NamedTuple):
    """What the tables of one's own runs show.

    Attributes:
        metrics: their columns.
        chosen_by: metric on validation by which the references are chosen.
        reference: label of a row, or name of a model, that others are compared with; None for the
            best simple baseline and the best model.
    """

    metrics: tuple[str, ...]
    chosen_by: str
    reference: str | None


def own_sections(paper: Paper, groups: Sequence[Group], asked: OwnTables) -> list[Section]:
    """A section for each data set on which anything ran, not yet compared; first the newest.

    Raises:
        ValueError: no section has a row of the name that `asked.reference` gives.
    """
    by_data: dict[str, list[Group]] = {}
    for group in sorted(groups, key=_newest, reverse=True):
        by_data.setdefault(group.setup.data, []).append(group)
    sections: list[Section] = []
    for data, found in by_data.items():
        section = _section(paper, data, found, asked)
        taken = {other.key for other in sections}
        sections.append(section._replace(key=unused_name(section.title, taken)))
    if asked.reference and not any(_named(section.rows, asked.reference) for section in sections):
        labels = dict.fromkeys(row.label for s in sections for row in s.filled)
        raise ValueError(
            f"reference: {asked.reference} is no row; name one of {', '.join(labels)}, or a model"
        )
    return sections


def system_name(paper: Paper, setup: Setup) -> str:
    """Such as `MISSRec (T+V+ID), pre-trained`: as the paper's tables call it, where they do."""
    rows = [
        row
        for table in paper.tables
        for row in table.rows
        if row.run and row.run["model"] == setup.model
    ]
    name = _plain_name(rows, setup)
    if name is None:
        named = [match[1] for row in rows if (match := _WITH_INPUTS.fullmatch(row.label))]
        ids = ["ID"] if setup.transfer == "transductive" else []
        inputs = "+".join([*filter(None, [_INPUTS.get(setup.inputs, setup.inputs)]), *ids])
        name = f"{named[0] if named else setup.model} ({inputs})"
    changed = [] if setup.ablation == "full" else [setup.ablation]
    return ", ".join([name, *changed, *(["pre-trained"] if setup.pretrained else [])])


def _plain_name(rows: Sequence[TableRow], setup: Setup) -> str | None:
    """The name of what learns nothing, which says what it reads."""
    for row in rows:
        if not row.trained and row.run and row.run["inputs"] in {"id", setup.inputs}:
            return row.label
    return None


def _section(paper: Paper, data: str, groups: Sequence[Group], asked: OwnTables) -> Section:
    rows = [*_rows(paper, groups), *_missing(paper, data, groups)]
    rows.sort(key=lambda row: (bool(row.definition.part), -_validated(row.group, asked)))
    references, note = _references(rows, asked)
    table = Table(
        name=_NAME,
        title=_TITLE,
        metrics=asked.metrics,
        references=tuple(row.label for row in references),
        datasets=(),
        variants=(),
        rows=tuple(row.definition for row in rows),
        is_own=True,
    )
    variant = Variant("", None, note)
    return Section(table, variant, paper.dataset_of(data), data, tuple(rows))


def _rows(paper: Paper, groups: Sequence[Group]) -> Iterator[ResultRow]:
    names = [system_name(paper, group.setup) for group in groups]
    taken: set[str] = set()
    for group, name in zip(groups, names, strict=True):
        alike = [other for other, own in zip(groups, names, strict=True) if own == name]
        apart = [*own_settings(group, alike), *other_data(group, alike)] if len(alike) > 1 else []
        base = ", ".join([name, *apart[:_TOLD]])
        numbered = (f"{base} ({number})" for number in count(2))
        label = base if base not in taken else next(n for n in numbered if n not in taken)
        taken.add(label)
        flags = (f"other settings: {'; '.join(apart)}",) if apart else ()
        if any(run.is_computed for run in group.runs):
            flags = ("ranked for this report, as it has no run",)
        # What a command would set otherwise today is no matter of one's own experiments.
        own = group._replace(differences=())
        definition = _definition(label, trained=group.learns)
        yield ResultRow(definition, group.setup, own, (), {}, flags=flags)


def _missing(paper: Paper, data: str, groups: Sequence[Group]) -> Iterator[ResultRow]:
    """The simple baselines that have not run."""
    ran = {system_name(paper, group.setup) for group in groups}
    inputs = {group.setup.inputs for group in groups} | {"id"}
    floors = (row for table in paper.tables for row in table.rows if row.run and not row.trained)
    for row in {row.label: row for row in floors}.values():
        setup = row.setup(Variant("", pretrained=False, note=""), data)
        can_run = setup is not None and any(set(setup.inputs) <= set(own) for own in inputs)
        if row.label not in ran and can_run:
            yield ResultRow(_definition(row.label, trained=False), setup, None, (), {})


def _definition(label: str, *, trained: bool) -> TableRow:
    part = "" if trained else BASELINES
    return TableRow(label, part, variant=None, run=None, published={}, trained=trained)


def _references(rows: Sequence[ResultRow], asked: OwnTables) -> tuple[list[ResultRow], str]:
    """The rows that others are compared with, and what is said of their choice."""
    if asked.reference and (named := _named(rows, asked.reference)):
        return named[:1], f"Compared with {named[0].label}, as reference= says."
    newest = max((row.group for row in rows if row.group), key=_newest)
    able = [
        row
        for row in rows
        if row.group
        and row.group.validation(asked.chosen_by)
        and not other_data(row.group, [newest])
    ]
    found: dict[str, ResultRow] = {}
    for what, learns in (("the best simple baseline", False), ("the best model", True)):
        of_kind = (row for row in able if row.definition.trained == learns)
        best = next((row for row in of_kind if row.group and _is_readable(row.group)), None)
        if best:
            found[what] = best
    if not found:
        return [], f"Nothing is compared: no run has {asked.chosen_by} on validation and its ranks."
    named_rows = ", and with ".join(f"{what}, {row.label}" for what, row in found.items())
    note = f"Compared with {named_rows}; chosen by {asked.chosen_by} on validation, not on test."
    if all(row.definition.trained for row in found.values()):
        note += " No simple baseline has run, so nothing says what the model is worth; see below."
    return list(found.values()), note


def _named(rows: Sequence[ResultRow], reference: str) -> list[ResultRow]:
    filled = [row for row in rows if row.group]
    labelled = [row for row in filled if row.label == reference]
    return labelled or [row for row in filled if row.setup and row.setup.model == reference]


def _validated(group: Group | None, asked: OwnTables) -> float:
    values = group.validation(asked.chosen_by) if group else []
    return mean(values) if values else float("-inf")


def _newest(group: Group) -> float:
    return max(run.finished_at for run in group.runs)


def _is_readable(group: Group) -> bool:
    """Whether its runs have the whole ranks of one domain."""
    for run in group.runs:
        try:
            (path,) = run.ranks.values()
            read_ranks(path)
        except (ValueError, OSError):
            return False
    return True
