"""The simple baselines that have not run, ranked on the users of those that have."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from missrec.app.trained.ranked_again import RankedUsers
from missrec.metrics.paired import target_ranks
from missrec.metrics.ranking import ranking_metrics
from missrec.metrics.signed import write_signed
from missrec.report.own_tables import system_name
from missrec.report.paper import Paper
from missrec.runs.folder import RunFolder
from missrec.runs.groups import Group, Run, Setup

_log = logging.getLogger(__name__)


def computed_baselines(
    paper: Paper,
    groups: Sequence[Group],
    folder: Path,
    *,
    data_dir: Path,
    cutoffs: Sequence[int],
    changed_since: Callable[[Run], Sequence[str]],
) -> list[Group]:
    """A group for each simple baseline that has no run, of each data set whose folder is there.

    It is ranked on the users of the newest run, of validation and of test, unless the data has
    changed since that run.

    Args:
        paper: has the names of systems.
        groups: that ran.
        folder: for the ranks; they are read as long as the report is made.
        data_dir: holds the domain folders.
        cutoffs: values of k of the metrics.
        changed_since: how the data of a run differs from what lies in its place today.
    """
    newest: dict[str, Run] = {}
    for run in (run for group in groups for run in group.runs if len(run.ranks) == 1):
        known = newest.get(run.setup.data)
        if known is None or run.finished_at > known.finished_at:
            newest[run.setup.data] = run
    found: list[Group] = []
    for number, (data, run) in enumerate(newest.items()):  # names of data are none of folders
        ran = {system_name(paper, g.setup) for g in groups if g.setup.data == data}
        try:
            users = RankedUsers(RunFolder(run.folder), data_dir=data_dir)
            if changed_since(run):
                continue  # which the page says
            for one in users.baselines():
                setup = Setup(
                    one.model, one.inputs, one.transfer, "full", pretrained=False, data=data
                )
                if system_name(paper, setup) not in ran:
                    place = folder / f"{number}-{one.model}-{one.inputs}"
                    ranks = {part: users.ranks(one.ranker, part=part) for part in ("val", "test")}
                    found.append(_group(setup, run, ranks, place, cutoffs))
        except (OSError, ValueError) as error:  # of data that is gone
            _log.info("%s: not all simple baselines are ranked: %s", data, error)
    return found


def _group(
    setup: Setup,
    run: Run,
    ranks: Mapping[str, pl.DataFrame],
    folder: Path,
    cutoffs: Sequence[int],
) -> Group:
    """Ranks of validation and test as a run would have left them, on the data of a run."""
    (domain,) = run.ranks
    path = folder / f"{domain}.parquet"
    folder.mkdir()
    write_signed(path, ranks["test"])
    figures: dict[str, float] = {}
    for part, table in ranks.items():
        users = target_ranks(table)
        found = ranking_metrics(users.num_greater, users.num_equal, cutoffs=cutoffs)
        figures |= {f"{part}/{name}": value for name, value in found.items()}
    computed = run._replace(
        name=f"{setup.model}, ranked for this report",
        folder=folder,
        setup=setup,
        seed=None,
        metrics=figures,
        ranks={domain: path},
        dirty=None,
        first_stage=False,
        finished_at=0.0,
        accepted=(),
        is_computed=True,
    )
    return Group((computed,), ())
