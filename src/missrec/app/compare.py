"""`python src/evaluate.py run=... against=...`: whether two systems differ on the same users."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from missrec.app.evaluate import EvaluateSettings
from missrec.files import write_json
from missrec.metrics.paired import compare_ranks, read_paired
from missrec.report.formats.terminal import print_comparison
from missrec.runs.finding import run_folders
from missrec.runs.ranks import recorded_ranks


def compare(settings: EvaluateSettings) -> dict[str, Any]:
    """Compares the test ranks that two groups of runs recorded, user by user.

    The runs of a group are seeds of one system: each user's metric is their mean. Prints a table
    a domain and writes `comparison.json` into the folder of this command.

    Returns:
        What `comparison.json` holds: domain -> metric -> figures.

    Raises:
        FileNotFoundError: a run folder, or its ranks, do not exist.
        ValueError: the runs did not rank the same users and targets.
    """
    assert settings.against is not None
    ours, theirs = run_folders(settings.run), run_folders(settings.against)
    report: dict[str, Any] = {"run": [*map(str, ours)], "against": [*map(str, theirs)]}
    report["domains"] = {
        domain: _compare_domain(settings, domain, ours=ours, theirs=theirs)
        for domain in _domains(ours)
    }
    for domain, figures in report["domains"].items():
        title = f"{domain}: {len(ours)} x {settings.run} against {len(theirs)} x {settings.against}"
        print_comparison(title, figures)
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    write_json(settings.output_dir / "comparison.json", report)
    return report


def _domains(runs: Sequence[Path]) -> list[str]:
    found = list(recorded_ranks(runs[0]))
    if not found:
        raise FileNotFoundError(
            f"{runs[0]} holds no test_ranks_*.parquet; only a finished run can be compared"
        )
    return found


def _compare_domain(
    settings: EvaluateSettings, domain: str, *, ours: Sequence[Path], theirs: Sequence[Path]
) -> dict[str, Any]:
    files = []
    for run_dir in (*ours, *theirs):
        recorded = recorded_ranks(run_dir)
        if domain not in recorded:
            raise FileNotFoundError(
                f"{run_dir} has no ranks of {domain}; only runs on the same domains can be compared"
            )
        files.append(recorded[domain])
    tables = read_paired(files)
    figures = {}
    for metric in settings.metrics:
        compared = compare_ranks(
            tables[: len(ours)],
            tables[len(ours) :],
            metric=metric,
            num_resamples=settings.num_resamples,
            seed=settings.seed,
        )
        difference = compared.difference
        figures[metric] = {
            "run": list(compared.ours),
            "against": list(compared.theirs),
            "difference": difference.mean,
            "interval_95": [difference.low, difference.high],
            "p_value": difference.p_value,
            "users": difference.mean * difference.num_users,
            "num_users": difference.num_users,
        }
    return figures
