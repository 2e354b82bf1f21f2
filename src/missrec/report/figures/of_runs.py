"""The report's figures, from what runs recorded and what domain folders hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from missrec.metrics.paired import read_paired
from missrec.report.contents import ReportFigure
from missrec.report.curves import learning_curve
from missrec.report.datasets import KnownSplit, train_counts
from missrec.report.figures.interactive import Plot, curves_plot, interests_plot, popularity_plot
from missrec.report.figures.interests import ItemInterests, interests_of_items
from missrec.report.figures.printed import save_interests_figure, save_popularity_figure
from missrec.report.formats.words import NONE
from missrec.report.popularity import Popularity, recall_by_popularity
from missrec.report.sections import Section, unused_name
from missrec.runs.groups import Group, Run

_MOST_LINES = 6
"""Systems in one plot of one's own runs."""

Figures = tuple[list[ReportFigure], list[str]]
"""Those that were made, and why others were not."""


class PopularityFigure(NamedTuple):
    """What Figure 4 shows, and what it is made from.

    Attributes:
        table: whose sections have one.
        over: rows that the reference is compared with; those with runs are shown.
        edges: training occurrences at which a bucket starts.
        data_dir: holds the domain folders.
        splits: see `train_counts`.
    """

    table: str
    over: Sequence[str]
    edges: Sequence[int]
    data_dir: Path
    splits: Sequence[KnownSplit]


def popularity_figures(
    sections: Sequence[Section], folder: Path, *, asked: PopularityFigure
) -> Figures:
    """Figure 4 of each section of the comparison with baselines, and the like of one's own runs."""
    made, missing = [], []
    for section in sections:
        is_own = section.table.is_own
        if not section.has_runs or not (is_own or section.table.name == asked.table):
            continue
        name = section.title.removeprefix(f"{section.table.name}, ")
        title = f"{name}, by popularity of the target" if is_own else f"Figure 4, {name}"
        try:
            popularity = _popularity(asked, section)
        except (ValueError, OSError) as error:
            missing.append(f"{title}: {error}")
            continue
        lines = (
            "Recall@10"
            if is_own
            else f"the relative improvement of {popularity.reference} in Recall@10"
        )
        caption = (
            f"Test users by how often their target occurs in training (bars), and {lines} (lines)."
        )
        path = folder / f"figure-4-{section.key}"
        files = save_popularity_figure(path, popularity, title=title)
        header = ("in training", "test users", *(f"R@10 of {name}" for name in popularity.recall))
        columns = [
            popularity.buckets,
            tuple(f"{num_users:,}" for num_users in popularity.num_users),
            *(tuple(map(_recall, recall)) for recall in popularity.recall.values()),
        ]
        cells = tuple(zip(*columns, strict=True))
        plot = popularity_plot(popularity)
        made.append(ReportFigure(section.key, title, caption, plot, header, cells, tuple(files)))
    return made, missing


def _recall(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _popularity(asked: PopularityFigure, section: Section) -> Popularity:
    references = section.table.references
    systems: dict[str, Group] = {
        row.label: row.group
        for row in section.rows
        if row.group and (row.comparisons or row.label in references)
    }
    over = [*reversed(references), *systems] if section.table.is_own else [*references, *asked.over]
    shown = [label for label in dict.fromkeys(over) if label in systems][:_MOST_LINES]
    if not section.table.is_own and (shown[:1] != [*references] or len(shown) < 2):
        raise ValueError(f"needs runs of {references[0]} and of one of {', '.join(asked.over)}")
    if not shown:
        raise ValueError("nothing is compared")
    reference = shown[0]
    runs = [run for label in shown for run in systems[label].runs]
    tables = iter(read_paired([next(iter(run.ranks.values())) for run in runs]))
    ranks = {label: [next(tables) for _ in systems[label].runs] for label in shown}
    counts = train_counts(
        systems[reference].runs[0],
        ranks[reference][0],
        data_dir=asked.data_dir,
        splits=asked.splits,
    )
    return recall_by_popularity(
        ranks,
        counts,
        edges=list(asked.edges),
        reference=reference,
        is_relative=not section.table.is_own,
    )


def interest_figures(sections: Sequence[Section], folder: Path, *, num_items: int) -> Figures:
    """Figure 3 of each data set, from the first run, the reference's before others, that has it."""
    made, missing = [], []
    candidates: dict[str, list[tuple[str, Run]]] = {}
    first: dict[str, str] = {}
    for section in sections:
        for row in sorted(
            section.filled, key=lambda row: row.label not in section.table.references
        ):
            for run in row.group.runs if row.group else ():
                candidates.setdefault(section.data, []).append((row.label, run))
                first.setdefault(section.data, section.key)
    for data, runs in candidates.items():
        title = f"{data}, interests of items"
        for label, run in runs:
            try:
                items = _interests(run, num_items=num_items)
            except (PolarsError, OSError) as error:
                reason = str(error).split("\n")[0]
                missing.append(f"{title}: the interests of {run.name} cannot be read: {reason}")
                continue
            if items:
                taken = [path.stem for path in folder.iterdir()]
                path = folder / unused_name(f"figure 3 {data}", taken)
                figure = _interest_figure(path, items, title=title, label=label, seed=run.seed)
                made.append(figure._replace(of=first[data]))
                break
    return made, missing


def _interest_figure(
    path: Path, items: Sequence[ItemInterests], *, title: str, label: str, seed: int | None
) -> ReportFigure:
    caption = (
        "Items whose modalities lead to different interests, and the items nearest to each "
        f"interest, as {label} (seed {seed}) found them; the paper's Figure 3."
    )
    cells = tuple(
        (item.title, name, str(found.interest), f"{found.size:,}", "; ".join(found.central))
        for item in items
        for name, found in item.by_modality.items()
    )
    return ReportFigure(
        of="",
        title=title,
        caption=caption,
        plot=interests_plot(items),
        header=("item", "by", "interest", "tokens", "nearest items"),
        cells=cells,
        files=tuple(save_interests_figure(path, items, title=title)),
    )


def _interests(run: Run, *, num_items: int) -> list[ItemInterests]:
    """Items of a run with their interests; none of a model that has no interests."""
    files = [run.folder / "interests" / f"{name}.parquet" for name in ("tokens", "interests")]
    if not any(path.exists() for path in files):
        return []
    return interests_of_items(*map(pl.read_parquet, files), num_items=num_items)


def learning_curves(sections: Sequence[Section], keys: Sequence[str]) -> dict[str, Plot]:
    """Key of a section -> the curves of all its runs, where they logged any."""
    plots = {}
    for section in sections:
        curves = {
            row.label: dict(_curves(row.group, keys))
            for row in section.rows
            if row.group is not None
        }
        if any(
            curve for runs in curves.values() for run in runs.values() for curve in run.values()
        ):
            plots[section.key] = curves_plot(curves, keys)
    return plots


def _curves(
    group: Group, keys: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Mapping[int, float]]]]:
    for run in group.runs:
        yield run.seed_name, {key: learning_curve(run, key) for key in keys}
