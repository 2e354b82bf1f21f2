"""What runs recorded, as `docs/results/record.json` keeps it; `bench/results.py` writes it there.

A run belongs to the row of `docs/results/tables.yaml` whose command has its settings, wherever its
folder lies. The record has means over users, differences and commits: no user, no item, no data.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from results_cells import Row
from results_docs import Results
from results_ranks import differences, keep_ranks, read_kept

from missrec.app.session import composed, plain
from missrec.files import digest
from missrec.report.comparisons import group_flags
from missrec.runs.finding import find_runs, run_folders
from missrec.runs.folder import RunFolder
from missrec.runs.groups import Group, group_runs, preferred
from missrec.runs.marks import read_marks
from missrec.runs.settings import Marks, comparable_settings, differing

ROOT = Path(__file__).resolve().parents[1]
METRICS = ("recall@5", "ndcg@5", "recall@10", "ndcg@10", "recall@50", "ndcg@50")

_RATE = "optimizer.lr"
_DIGITS = 6
_NEW_ITEM_SEED = re.compile(r" +s(\d+)$")
_log = logging.getLogger("results")


def take_runs(
    results: Results, record: Mapping[str, Any], folders: Sequence[str], *, ranks_dir: Path
) -> dict[str, Any]:
    """The record with the finished runs in some folders.

    A row takes the runs of its command unless they are fewer than the record has; what is from
    before gives way to two, which can be tested. The ranks of its runs are kept in `ranks_dir`,
    by which it is compared anew with rows that have theirs there; a difference of a row that has
    got other figures goes.
    """
    marks = read_marks(ROOT / "conf").of_rows()
    found = find_runs(run_folders(folders), marks=marks, shown_from=ROOT / "logs")
    groups = group_runs(run for run in found.finished if not run.first_stage)
    rates = list(_tried_rates(folders, marks))
    taken: dict[str, Group] = {}
    after = {key: dict(row) for key, row in record.items()}
    for key, settings, group in _rows_with_runs(results.rows, groups, marks):
        known = record.get(key, {})
        can_be_tested = len(group.runs) > 1 and "before" in known
        if len(group.runs) < len(known.get("seeds", [])) and not can_be_tested:
            _log.warning("%s has more seeds in the record than %s", key, group.seeds)
            continue
        taken[key] = group
        keep_ranks(ranks_dir / f"{key}.parquet", group)
        after[key] = _figures(group, _of_row(rates, settings, marks))
    used = {run.folder for group in taken.values() for run in group.runs}
    for group in groups:
        if group.runs[0].folder not in used:
            _log.warning("not in the record: %s, seeds %s", group.runs[0].name, group.seeds)
    for row in after.values():
        against = row.get("against", {})
        row["against"] = {other: found for other, found in against.items() if other not in taken}
    for key, reference in results.references():
        if key == reference or not {key, reference} & set(taken):
            continue
        if found := _against(ranks_dir / f"{key}.parquet", ranks_dir / f"{reference}.parquet"):
            after[key]["against"][reference] = found
    return {key: after[key] for key in results.rows if key in after}


def _rows_with_runs(
    rows: Mapping[str, Row], groups: Sequence[Group], marks: Marks
) -> Iterator[tuple[str, Mapping[str, str], Group]]:
    """Row, the settings of its command, and its runs."""
    for key, row in rows.items():
        if "command" not in row.texts:
            continue
        settings = command_settings(row.texts["command"], marks)
        pretrained = bool(row.texts.get("pretrained", False))
        own = [
            group._replace(differences=())
            for group in groups
            if group.setup.pretrained == pretrained
            and row.texts.get("under", "") in f"/{group.runs[0].name}"
            and _same(group.runs[0].settings, settings, marks)
        ]
        if own:
            yield key, settings, preferred(own)[0]


def _same(one: Mapping[str, str], other: Mapping[str, str], marks: Marks) -> bool:
    """Whether settings agree, but for what a run started from: its command does not know that."""
    marks = marks.ignoring(["pretraining_run"])
    counted = ({k: v for k, v in found.items() if marks.counts(k)} for found in (one, other))
    return not differing(*counted, marks=marks)


def command_settings(command: str, marks: Marks) -> dict[str, str]:
    """What `python src/train.py <command>` would run with, of all that can change a result."""
    with composed(ROOT, [*shlex.split(command), "run_dir=/run"]) as config:
        return comparable_settings(plain(config), marks=marks)


def _figures(group: Group, rates: Mapping[float, float]) -> dict[str, Any]:
    """What the record keeps of the runs of a row."""
    runs = group.runs
    keys = [f"{part}/{name}" for part in ("val", "test") for name in (*METRICS, "tie_rate")]
    found: dict[str, Any] = {
        "seeds": group.seeds,
        "commits": sorted({run.commit[:8] if run.commit else "unknown" for run in runs}),
        "data": {name: digest(identity)[:16] for name, identity in (group.data or {}).items()},
        "metrics": {
            key: [round(run.metrics[key], _DIGITS) for run in runs]
            for key in keys
            if all(key in run.metrics for run in runs)
        },
        "flags": [
            flag
            for flag in group_flags(group, expected_users=None)
            if not flag.startswith(("stopped early", "mixed commits"))
        ],
    }
    if group.learns:
        found["epochs"] = [round(run.metrics["epochs"]) for run in runs]
        found["rate"] = json.loads(runs[0].settings[_RATE])
        found["rates"] = {f"{rate:g}": round(value, _DIGITS) for rate, value in rates.items()}
    return found


def _against(row: Path, reference: Path) -> dict[str, Any]:
    """Metric -> the difference of a row from another, by their ranks; empty where one has none."""
    ours, theirs = read_kept(row), read_kept(reference)
    if ours is None or theirs is None:
        return {}
    return {
        metric: {
            name: round(value, _DIGITS) if isinstance(value, float) else value
            for name, value in difference._asdict().items()
        }
        for metric, difference in differences(ours, theirs, METRICS).items()
    }


def _tried_rates(
    folders: Sequence[str], marks: Marks
) -> Iterator[tuple[dict[str, str], float, float]]:
    """Settings, learning rate and validation NDCG@10 of each trial of a search in some folders."""
    for folder in run_folders(folders):
        for path in sorted(folder.rglob("validation.json")):
            settings = comparable_settings(RunFolder(path.parent).read_config(), marks=marks)
            found = json.loads(path.read_text(encoding="utf-8"))
            yield settings, float(json.loads(settings[_RATE])), float(found["val/ndcg@10"])


def _of_row(
    rates: Sequence[tuple[dict[str, str], float, float]], settings: Mapping[str, str], marks: Marks
) -> dict[float, float]:
    """Rate -> validation NDCG@10 of the trials that have a row's settings but for the rate."""
    marks = marks.ignoring([_RATE])
    return {rate: value for trial, rate, value in rates if _same(trial, settings, marks)}


def take_new_items(
    results: Results, record: Mapping[str, Any], files: Sequence[Path]
) -> dict[str, Any]:
    """The record with what `bench/new_items.py measure` wrote, of one part in each file.

    A row says by `new_items` of which folder it is and by which way.
    """
    after = {key: dict(row) for key, row in record.items()}
    for path in files:
        folder, _, part = path.stem.removeprefix("new_items_").rpartition("_")
        report = json.loads(path.read_text(encoding="utf-8"))
        for key, row in results.rows.items():
            if row.texts.get("new_items", [])[:1] != [folder]:
                continue
            found = {
                name: figures
                for name, figures in report.items()
                if _NEW_ITEM_SEED.sub("", name) == row.texts["new_items"][1]
            }
            if found:
                after[key] = _with_part(after.get(key, {}), part, found)
    return {key: after[key] for key in results.rows if key in after}


def _with_part(
    known: Mapping[str, Any], part: str, found: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """What the record has of a way to recommend new items, with a part measured anew."""
    metrics = {} if "before" in known else dict(known.get("metrics", {}))
    for name in next(iter(found.values())):
        of_target, metric = name.split(" ")
        values = [round(figures[name], _DIGITS) for figures in found.values()]
        metrics[f"{part}/{of_target}/{metric}"] = values
    seeds = [int(match[1]) for name in found if (match := _NEW_ITEM_SEED.search(name))]
    return {"seeds": seeds, "metrics": metrics}
