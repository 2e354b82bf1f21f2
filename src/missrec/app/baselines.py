"""The simple baselines that have not run, ranked on the users of those that have."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from missrec.app.ranked_again import Baseline, RankedUsers
from missrec.metrics.paired import target_ranks
from missrec.metrics.ranking import ranking_metrics
from missrec.metrics.signed import write_signed
from missrec.report.own_tables import system_name
from missrec.report.paper import Paper
from missrec.runs.folder import RunFolder
from missrec.runs.groups import Group, Run, Setup

_TRANSFER = {"id": "transductive"}

_log = logging.getLogger(__name__)


def computed_baselines(
    paper: Paper,
    groups: Sequence[Group],
    folder: Path,
    *,
    data_dir: Path,
    metrics: Sequence[str],
) -> list[Group]:
    """A group for each simple baseline that has no run, of each data set whose folder is there.

    It is ranked on the users of the newest run, by validation and by test. Data that has changed
    since gives no rows that are compared, as of any run: its users and targets are others.

    Args:
        paper: has the names of systems.
        groups: that ran.
        folder: for the ranks; they are read as long as the report is made.
        data_dir: holds the domain folders.
        metrics: of tables, such as `ndcg@10`.
    """
    newest: dict[str, Run] = {}
    for run in (run for group in groups for run in group.runs if len(run.ranks) == 1):
        known = newest.get(run.setup.data)
        if known is None or run.finished_at > known.finished_at:
            newest[run.setup.data] = run
    found: list[Group] = []
    for data, run in newest.items():
        ran = {system_name(paper, g.setup) for g in groups if g.setup.data == data}
        own = folder / str(len(found))
        try:
            users = RankedUsers(RunFolder(run.folder), data_dir=data_dir)
            for one in users.baselines():
                if one.name not in ran:
                    found.append(_group(one, run, users, own, metrics))
        except (OSError, ValueError) as error:  # of data that is gone, which the page says
            _log.info("%s: not all simple baselines are ranked: %s", data, error)
    return found


def _group(
    one: Baseline, run: Run, users: RankedUsers, folder: Path, metrics: Sequence[str]
) -> Group:
    figures: dict[str, float] = {}
    (domain,) = run.ranks
    place = folder / f"{one.model}-{one.inputs}"
    place.mkdir(parents=True)
    path = place / f"{domain}.parquet"
    for part in ("val", "test"):
        ranks = users.ranks(one.ranker, part=part)
        figures |= {f"{part}/{name}": value for name, value in _figures(ranks, metrics)}
        if part == "test":
            write_signed(path, ranks)
    setup = Setup(
        model=one.model,
        inputs=one.inputs,
        transfer=_TRANSFER.get(one.inputs, "inductive"),
        ablation="full",
        pretrained=False,
        data=run.setup.data,
    )
    computed = run._replace(
        name=f"{one.name}, ranked for this report",
        folder=place,
        setup=setup,
        seed=None,
        metrics=figures,
        ranks={domain: path},
        first_stage=False,
        finished_at=0.0,
        accepted=(),
        is_computed=True,
        dirty=None,
    )
    return Group((computed,), ())


def _figures(ranks: pl.DataFrame, metrics: Sequence[str]) -> Iterator[tuple[str, float]]:
    counted = target_ranks(ranks)
    cutoffs = sorted({int(metric.partition("@")[2]) for metric in metrics})
    every: Mapping[str, float] = ranking_metrics(
        counted.num_greater, counted.num_equal, cutoffs=cutoffs
    )
    yield from every.items()
