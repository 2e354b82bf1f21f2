"""`python src/evaluate.py run=... against=...`: whether two systems differ on the same users."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from missrec.app.command_line.project import conf_dir
from missrec.app.evaluate import EvaluateSettings
from missrec.app.trained.same_data import check_sides
from missrec.files import write_json
from missrec.metrics.paired import Compared, compare_ranks, knows_ties, read_paired
from missrec.metrics.power import POWER
from missrec.metrics.significance import FEW_USERS
from missrec.report.formats.terminal import print_comparison
from missrec.report.formats.words import ONE_SEED, few_users
from missrec.runs.finding import find_runs, run_folders
from missrec.runs.groups import Group, differences, group_runs
from missrec.runs.identity import ACCEPTED
from missrec.runs.marks import read_marks
from missrec.runs.owner import writing
from missrec.runs.ranks import recorded_ranks
from missrec.runs.settings import Marks

_log = logging.getLogger(__name__)


def compare(settings: EvaluateSettings) -> dict[str, Any]:
    """Compares the test ranks that two groups of runs recorded, user by user.

    The runs of a group are seeds of one system, by their settings and data: each user's metric is
    their mean, and of a seed that ran twice the newest run counts. Prints a table a domain and
    writes `comparison.json` into the folder of this command.

    Returns:
        What `comparison.json` holds: domain -> metric -> figures.

    Raises:
        FileNotFoundError: a run folder, or its ranks, do not exist.
        ValueError: the runs of a side are of several systems, or the sides have other data or did
            not rank the same users and targets.
    """
    assert settings.against is not None
    marks = read_marks(conf_dir(settings.root_dir)).of_rows()
    named = {"run": settings.run, "against": settings.against}
    sides = {side: _one_system(side, folders, marks) for side, folders in named.items()}
    _check_apart(*sides.values())
    changed = check_sides(*sides.values(), accept=settings.accepts_changed_data)
    ours, theirs = ([run.folder for run in group.runs] for group in sides.values())
    report: dict[str, Any] = {"run": [*map(str, ours)], "against": [*map(str, theirs)]}
    report["left_out"] = [str(run.folder) for group in sides.values() for run in group.repeats]
    report[ACCEPTED] = changed
    report["domains"] = {
        domain: _compare_domain(settings, domain, *sides.values()) for domain in _domains(ours)
    }
    for domain, figures in report["domains"].items():
        title = f"{domain}: {len(ours)} x {settings.run} against {len(theirs)} x {settings.against}"
        print_comparison(title, figures, _caption(figures))
    with writing(settings.output_dir, waits=True):
        write_json(settings.output_dir / "comparison.json", report)
    return report


def _one_system(side: str, named: str | Sequence[str], marks: Marks) -> Group:
    """The runs that a side names, as seeds of one system.

    Raises:
        FileNotFoundError: a named folder is missing, or holds no finished run.
        ValueError: a run is broken, or they are several systems.
    """
    found = find_runs(run_folders(named), marks=marks, shown_from=Path())
    for name, reason in {**found.broken, **found.unfinished}.items():
        raise ValueError(f"{side}: {name} cannot be compared: {reason}")
    if not found.finished:
        raise FileNotFoundError(f"{side}: {named} names no folder of a run")
    groups = group_runs(found.finished)
    if len(groups) > 1:
        raise ValueError(
            f"{side}: {named} names {len(groups)} systems, which differ in "
            f"{'; '.join(differences(groups))}; name the runs of one"
        )
    for run in groups[0].repeats:
        _log.warning("%s: %s is left out: a newer run of seed %s counts", side, run.name, run.seed)
    return groups[0]


def _check_apart(ours: Group, theirs: Group) -> None:
    """Refuses a run on both sides, which would differ by nothing."""
    folders = {run.folder.resolve() for run in ours.runs}
    for run in theirs.runs:
        if run.folder.resolve() in folders:
            raise ValueError(f"run and against both name {run.name}; name the runs of two systems")


def _domains(runs: Sequence[Path]) -> list[str]:
    found = list(recorded_ranks(runs[0]))
    if not found:
        raise FileNotFoundError(
            f"{runs[0]} holds no test_ranks_*.parquet; only a finished run can be compared"
        )
    return found


def _compare_domain(
    settings: EvaluateSettings, domain: str, ours: Group, theirs: Group
) -> dict[str, Any]:
    files = []
    for run in (*ours.runs, *theirs.runs):
        recorded = recorded_ranks(run.folder)
        if domain not in recorded:
            raise FileNotFoundError(
                f"{run.folder} has no ranks of {domain}; only runs on the same domains can be "
                "compared"
            )
        files.append(recorded[domain])
    tables = read_paired(files)
    if tieless := [str(path) for path in files if not knows_ties(path)]:
        _log.warning(
            "%s does not know its ties, as %s of %s files: its metrics are those of expected ranks",
            *(tieless[0], len(tieless), len(files)),
        )
    compared = compare_ranks(
        tables[: len(ours.runs)],
        tables[len(ours.runs) :],
        metrics=settings.metrics,
        fixed=(not ours.learns, not theirs.learns),
        num_resamples=settings.num_resamples,
        seed=settings.seed,
    )
    return {metric: _figures(found) for metric, found in compared.items()}


def _figures(compared: Compared) -> dict[str, Any]:
    difference = compared.difference
    return {
        "run": list(compared.ours),
        "against": list(compared.theirs),
        "difference": difference.mean,
        "interval_95": [difference.low, difference.high],
        "interval_over": "seeds and users" if difference.over_seeds else "users",
        "p_value": difference.p_value,
        "detectable": difference.detectable,
        "users": difference.mean * difference.num_users,
        "num_users": difference.num_users,
    }


def _caption(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """How the table is to be read."""
    some = next(iter(figures.values()))
    sentences = ["mean ± deviation over seeds; paired bootstrap"]
    if some["p_value"] is None:
        sentences[0] += " over users alone"
        sentences.append(ONE_SEED)
    else:
        sentences[0] += " over seeds and users"
        sentences.append(f"detectable: the true difference that {POWER:.0%} of such find at .05")
    if some["num_users"] < FEW_USERS:
        sentences.append(few_users(some["num_users"]))
    return ". ".join(sentence.rstrip(".") for sentence in sentences)
