"""`python src/report.py run=…`: the page "Fit to ship?" of one run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import polars as pl
import torch

from missrec.app.trained.ranked_again import Baseline, TrainedRun
from missrec.app.trained.shown_items import shown_items
from missrec.data.parts import doubts
from missrec.files import write_text
from missrec.metrics.paired import Compared, compare_ranks, read_ranks
from missrec.report.curves import learning_curve
from missrec.report.figures.interactive import curves_plot, popularity_plot
from missrec.report.formats.ship import ship_page
from missrec.report.formats.words import NONE
from missrec.report.own_tables import system_name
from missrec.report.paper import Paper
from missrec.report.popularity import recall_by_popularity
from missrec.report.ship import (
    METRICS,
    Beaten,
    Buckets,
    Facts,
    KnockOut,
    Ship,
    not_applicable,
    verdict,
    warnings_of,
)
from missrec.runs.finding import find_runs
from missrec.runs.folder import RunFolder
from missrec.runs.groups import Run
from missrec.runs.settings import Marks

_NUM_EXAMPLES, _NUM_INTERESTS = 6, 8

_log = logging.getLogger(__name__)


class ShipSettings(NamedTuple):
    """What the page is asked for; see `conf/report.yaml`.

    Attributes:
        run: its folder.
        paper: has the names of systems.
        data_dir: holds the domain folders.
        log_dir: what the name of the run is relative to.
        marks: of settings.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        edges: see `popularity_buckets`.
        curves: keys of the learning curves.
    """

    run: Path
    paper: Paper
    data_dir: Path
    log_dir: Path
    marks: Marks
    num_resamples: int
    seed: int
    edges: Sequence[int]
    curves: Sequence[str]


def fit_to_ship(settings: ShipSettings) -> Path:
    """Writes the page into the folder of the run.

    Returns:
        The file.

    Raises:
        FileNotFoundError, ValueError: the folder is no finished run.
    """
    run = _finished(settings)
    page = RunFolder(run.folder).ship
    ship = _ship(run, settings)
    write_text(page, ship_page(ship))
    for note in ship.notes:
        _log.info("%s", note)
    _log.info("%s %s", verdict(ship), page)
    return page


def _finished(settings: ShipSettings) -> Run:
    found = find_runs([settings.run], marks=settings.marks, shown_from=settings.log_dir)
    if len(found.finished) == 1:
        return found.finished[0]
    if found.finished:
        raise ValueError(f"run: {settings.run} holds {len(found.finished)} runs; name one of them")
    for name, reason in (found.broken | found.unfinished).items():
        raise ValueError(f"run: {name}: {reason}")
    raise FileNotFoundError(
        f"run: {settings.run} is no run folder; name one, such as run=logs/scratch/<run>"
    )


def _ship(run: Run, settings: ShipSettings) -> Ship:
    label = system_name(settings.paper, run.setup)
    ranks, notes = _recorded(run)
    curves = {key: learning_curve(run, key) for key in settings.curves}
    num_users = None if ranks is None else len(ranks)
    ship = Ship(
        made_at=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        label=label,
        run=run,
        num_users=num_users,
        curves=curves_plot({label: {run.seed_name: curves}}, settings.curves)
        if any(curves.values())
        else None,
        warnings=tuple(warnings_of(run, num_users)),
    )
    if not any("@" in name and name.startswith("coverage") for name in run.tested):
        notes.append(
            "Coverage, bias and diversity were not recorded; python src/evaluate.py run=<this run> "
            "measures them."
        )
    try:
        tested = TrainedRun(RunFolder(run.folder), data_dir=settings.data_dir)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        notes.append(
            "Comparisons, examples, what each input is worth, interests, speed and size need the "
            f"data and the weights of the run: {reason}."
        )
        return ship._replace(notes=(*notes, *_kind(run)))
    return _with_live(ship, tested, ranks, settings, notes)


def _kind(run: Run) -> list[str]:
    return [] if run.learns else ["It learns nothing: it has no learning curves."]


def _recorded(run: Run) -> tuple[pl.DataFrame | None, list[str]]:
    """The ranks that a run recorded, or why they are not to be had."""
    try:
        (path,) = run.ranks.values()
        return read_ranks(path), []
    except (OSError, ValueError) as error:
        reason = str(error) if run.ranks else "it recorded none"
        return None, [f"The recorded ranks of its test users cannot be read: {reason}."]


def _with_live(
    ship: Ship,
    tested: TrainedRun,
    recorded: pl.DataFrame | None,
    settings: ShipSettings,
    notes: list[str],
) -> Ship:
    """The page with what needs the data and the weights."""
    started = perf_counter()
    again = tested.ranks(tested.model)
    seconds = perf_counter() - started
    ranks = again if recorded is None else recorded
    if recorded is not None and not recorded.select("user_id", "target_id").equals(
        again.select("user_id", "target_id")
    ):
        notes.append("The recorded ranks are of other users: those of today's data are shown.")
        ranks = again
    compare = _Comparing(ship.run, settings)
    counted = list(_ranked(tested, ship.run, notes=notes))
    shown = shown_items(
        tested,
        ranks,
        data_dir=settings.data_dir,
        num_examples=_NUM_EXAMPLES,
        num_interests=_NUM_INTERESTS,
    )
    (part,) = tested.domains.parts(["test"])
    warnings = [text.partition(": ")[2] for text in doubts(part) if "the target is one" in text]
    return ship._replace(
        num_users=len(ranks),
        baselines=tuple(
            Beaten(one.name, one.doing, compare(ranks, own, fixed=True)) for one, own in counted
        ),
        knock_outs=tuple(_knock_outs(tested, again, compare)),
        buckets=_buckets(tested, ranks, counted, label=ship.label, edges=settings.edges),
        examples=shown.examples,
        interests=shown.interests,
        facts=_facts(tested, seconds),
        warnings=(*ship.warnings, *(f"Of {text}." for text in warnings)),
        notes=(*notes, *not_applicable(ship.run, parts=tested.parts)),
    )


class _Comparing:
    """Ranks of two systems on the same users, metric by metric."""

    def __init__(self, run: Run, settings: ShipSettings) -> None:
        self._learns = run.learns
        self._settings = settings

    def __call__(
        self, ours: pl.DataFrame, theirs: pl.DataFrame, *, fixed: bool
    ) -> Mapping[str, Compared]:
        """Ours against theirs, which learns nothing where `fixed`."""
        return compare_ranks(
            [ours],
            [theirs],
            metrics=METRICS,
            fixed=(not self._learns, fixed),
            num_resamples=self._settings.num_resamples,
            seed=self._settings.seed,
        )


def _ranked(
    tested: TrainedRun, run: Run, *, notes: list[str]
) -> Iterator[tuple[Baseline, pl.DataFrame]]:
    """The simple baselines but the run itself, with their ranks of the test users."""
    try:
        for one in tested.baselines():
            if one.model != run.setup.model or one.inputs not in {"id", run.setup.inputs}:
                yield one, tested.ranks(one.ranker)
    except (OSError, ValueError) as error:  # of features that this model may not even read
        notes.append(f"Not compared with the nearest by features: {' '.join(str(error).split())}.")


def _knock_outs(tested: TrainedRun, whole: pl.DataFrame, compare: _Comparing) -> Iterator[KnockOut]:
    if len(tested.parts) < 2:
        return
    for part in tested.parts:
        without = tested.ranks_without({part})
        yield KnockOut(part, compare(without, whole, fixed=False))


def _buckets(
    tested: TrainedRun,
    ranks: pl.DataFrame,
    counted: Sequence[tuple[Baseline, pl.DataFrame]],
    *,
    label: str,
    edges: Sequence[int],
) -> Buckets:
    systems = {label: [ranks], **{one.name: [own] for one, own in counted}}
    found = recall_by_popularity(
        systems, tested.domains.train_counts, edges=edges, reference=label, is_relative=False
    )
    columns = [
        found.buckets,
        tuple(f"{num_users:,}" for num_users in found.num_users),
        *(
            tuple(NONE if value is None else f"{value:.4f}" for value in recall)
            for recall in found.recall.values()
        ),
    ]
    header = ("in training", "test users", *(f"R@10 of {name}" for name in found.recall))
    return Buckets(popularity_plot(found), header, tuple(zip(*columns, strict=True)))


def _facts(tested: TrainedRun, seconds: float) -> Facts:
    model = tested.model
    tensors = [*model.parameters(), *model.buffers()]
    return Facts(
        parameters=sum(p.numel() for p in model.parameters()),
        megabytes=sum(t.numel() * t.element_size() for t in tensors) / 1e6,
        users_per_sec=len(tested) / max(seconds, 1e-9),
        num_items=tested.domains.num_items,
        where=f"this machine's CPU ({torch.get_num_threads()} threads)",
    )
