"""`python src/evaluate.py run=... against=...`: whether two systems differ on the same users."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from omegaconf import DictConfig

from missrec.app.tracking import write_json
from missrec.metrics.ranking import per_user_metrics
from missrec.metrics.significance import paired_bootstrap
from missrec.reporting.tables import print_comparison

_RANKS = "test_ranks_{domain}.parquet"


def compare(cfg: DictConfig) -> dict[str, Any]:
    """Compares the test ranks that two groups of runs recorded, user by user.

    The runs of a group are seeds of one system: each user's metric is their mean. Prints a table
    a domain and writes `comparison.json` into the folder of this command.

    Returns:
        What `comparison.json` holds: domain -> metric -> figures.

    Raises:
        FileNotFoundError: a run folder, or its ranks, do not exist.
        ValueError: the runs did not rank the same users and targets.
    """
    ours, theirs = run_folders(cfg.run), run_folders(cfg.against)
    report: dict[str, Any] = {"run": [*map(str, ours)], "against": [*map(str, theirs)]}
    domains = _domains(ours[0])
    report["domains"] = {
        domain: _compare_domain(cfg, domain, ours=ours, theirs=theirs) for domain in domains
    }
    for domain, figures in report["domains"].items():
        title = f"{domain}: {len(ours)} x {cfg.run} against {len(theirs)} x {cfg.against}"
        print_comparison(title, figures)
    write_json(Path(cfg.output_dir) / "comparison.json", report)
    return report


def run_folders(named: str | Sequence[str]) -> list[Path]:
    """The run folders that a setting names: a path, a pattern such as `logs/x/*_s*`, or a list.

    Raises:
        FileNotFoundError: one of them matches nothing.
    """
    folders = []
    for name in [named] if isinstance(named, str) else named:
        path = Path(name)
        matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not matches:
            raise FileNotFoundError(f"{name} matches no run folder")
        folders += matches
    return folders


def _domains(run_dir: Path) -> list[str]:
    prefix, suffix = _RANKS.split("{domain}")
    found = sorted(run_dir.glob(f"{prefix}*{suffix}"))
    if not found:
        raise FileNotFoundError(
            f"{run_dir} holds no {prefix}*{suffix}; only a finished run can be compared"
        )
    return [path.name.removeprefix(prefix).removesuffix(suffix) for path in found]


def _compare_domain(
    cfg: DictConfig, domain: str, *, ours: Sequence[Path], theirs: Sequence[Path]
) -> dict[str, Any]:
    systems = [[_read_ranks(run, domain) for run in runs] for runs in (ours, theirs)]
    users = systems[0][0].select("user_id", "target_id")
    for table, run in zip([*systems[0], *systems[1]], [*ours, *theirs], strict=True):
        if not table.select("user_id", "target_id").equals(users):
            raise ValueError(f"{run} did not rank the users and targets of {ours[0]} in {domain}")
    figures = {}
    for metric in cfg.metrics:
        values = [[_user_values(table, metric) for table in tables] for tables in systems]
        difference = paired_bootstrap(
            np.mean(values[0], axis=0),
            np.mean(values[1], axis=0),
            num_resamples=cfg.num_resamples,
            seed=cfg.seed,
        )
        figures[metric] = {
            "run": [float(seed.mean()) for seed in values[0]],
            "against": [float(seed.mean()) for seed in values[1]],
            "difference": difference.mean,
            "interval_95": [difference.low, difference.high],
            "p_value": difference.p_value,
            "users": difference.mean * difference.num_users,
            "num_users": difference.num_users,
        }
    return figures


def _read_ranks(run_dir: Path, domain: str) -> pl.DataFrame:
    path = run_dir / _RANKS.format(domain=domain)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; only runs on the same domains can be compared")
    return pl.read_parquet(path).sort("user_id")


def _user_values(table: pl.DataFrame, metric: str) -> np.ndarray:
    """(U,) a metric such as `ndcg@10` of each user."""
    name, _, cutoff = metric.partition("@")
    if name not in {"recall", "ndcg", "mrr"} or not cutoff.isdecimal():
        raise ValueError(f"metrics: {metric} is not recall@k, ndcg@k or mrr@k")
    values = per_user_metrics(table["rank"].to_torch(), cutoffs=[int(cutoff)])
    return values[metric].numpy()
