"""What a report holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from missrec.report.comparisons import group_flags
from missrec.report.figures.interactive import Plot
from missrec.report.paper import Dataset
from missrec.report.sections import Section
from missrec.runs.groups import Group, Run, other_data, own_settings


class Statistics(NamedTuple):
    """A row of Table 1.

    Attributes:
        dataset: of the paper.
        found: users, items, images, interactions and length of our folder; empty without one.
        note: the folder, or what makes it.
    """

    dataset: Dataset
    found: Mapping[str, float]
    note: str


class OtherRow(NamedTuple):
    """Runs that are in no row of a table, or not in the row of their setup."""

    label: str
    group: Group
    flags: tuple[str, ...]


class ReportFigure(NamedTuple):
    """A figure: its plot and its table for the page, and its files for print.

    `of` is the key of the section that it stands in.
    """

    of: str
    title: str
    caption: str
    plot: Plot
    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    files: tuple[Path, ...]


class Report(NamedTuple):
    """All that the formats show.

    Attributes:
        made_at: when, as text.
        sources: what was searched for runs.
        runs: all that are finished.
        statistics: Table 1.
        sections: the tables of what ran, and Tables 2 to 5.
        others: runs in none of them.
        unfinished: run -> what is missing.
        broken: run -> what is wrong.
        figures: by popularity, and of interests.
        figure_notes: which could not be made, and why.
        curves: key of a section -> learning curves of its runs.
        metrics: shown of `others`.
    """

    made_at: str
    sources: tuple[str, ...]
    runs: tuple[Run, ...]
    statistics: tuple[Statistics, ...]
    sections: tuple[Section, ...]
    others: tuple[OtherRow, ...]
    unfinished: Mapping[str, str]
    broken: Mapping[str, str]
    figures: tuple[ReportFigure, ...]
    figure_notes: tuple[str, ...]
    curves: Mapping[str, Plot]
    metrics: tuple[str, ...]

    @property
    def filled(self) -> list[Section]:
        """The sections that have runs."""
        return [section for section in self.sections if section.has_runs]

    @property
    def empty(self) -> list[Section]:
        """The sections without."""
        return [section for section in self.sections if not section.has_runs]

    @property
    def present(self) -> list[Statistics]:
        """The rows of Table 1 whose data is here."""
        return [row for row in self.statistics if row.found]

    @property
    def absent(self) -> list[Statistics]:
        """The rows of Table 1 whose data is not."""
        return [row for row in self.statistics if not row.found]

    def figures_of(self, section: Section) -> list[ReportFigure]:
        """The figures that stand in a section."""
        return [figure for figure in self.figures if figure.of == section.key]


def other_row(label: str, group: Group, alike: Sequence[Group], *flags: str) -> OtherRow:
    """The row of a group that says what sets it apart from groups of the same setup."""
    own = own_settings(group, alike)
    apart = [f"other settings: {'; '.join(own)}"] if own else []
    if data := other_data(group, alike):
        apart.append(f"made on other data: {'; '.join(data)}")
    known = group._replace(differences=())  # they are said by `apart`, or have no command
    return OtherRow(label, group, (*flags, *apart, *group_flags(known, expected_users=None)))


def other_settings(section: Section) -> list[OtherRow]:
    """The runs that fit a row of the section but for their settings."""
    return [
        other_row(row.label, group, [row.group, *row.others])
        for row in section.rows
        if row.group
        for group in row.others
    ]
