"""The ranks of a run's test users, as files of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import polars as pl

from missrec.metrics.paired import read_ranks, user_metric
from missrec.metrics.ranking import TargetRanks
from missrec.metrics.signed import write_signed
from missrec.types import DomainSpan

_RANKS = ("test_ranks_", ".parquet")
_OF_RANKS = ("recall@", "ndcg@", "mrr@")


def recorded_ranks(run_dir: Path) -> dict[str, Path]:
    """Domain -> file of the ranks of its test users, by name; empty of an unfinished run."""
    prefix, suffix = _RANKS
    found = sorted(run_dir.glob(f"{prefix}*{suffix}"))
    return {path.name.removeprefix(prefix).removesuffix(suffix): path for path in found}


def save_ranks(path: Path, span: DomainSpan, users: TargetRanks) -> None:
    """Writes one row per user: its expected rank, its ties, and the target's id in its domain."""
    table = pl.DataFrame(
        {
            "user_id": users.user_ids.cpu().numpy(),
            "target_id": (users.target_ids - span.first_item + 1).cpu().numpy(),
            "rank": users.ranks.cpu().numpy(),
            "num_equal": users.num_equal.cpu().numpy(),
        }
    )
    write_signed(path, table)


def with_ties_in_expectation(
    metrics: Mapping[str, float], ranks: Mapping[str, Path]
) -> dict[str, float]:
    """A run's figures, those of its test anew from its ranks where these tie.

    Runs from before ties counted in expectation recorded the metric of the expected rank. What
    they recorded of validation stays: they kept no ranks of it.

    Args:
        metrics: as `metrics.json` holds them.
        ranks: as `recorded_ranks`.

    Raises:
        FileNotFoundError, ValueError: a file of ranks that is needed is missing or damaged.
    """
    found = dict(metrics)
    if not metrics.get("test/tie_rate") or not ranks:
        return found
    tables = {domain: read_ranks(path) for domain, path in ranks.items()}
    for key in metrics:
        split, *domains, name = key.split("/") if "/" in key else ("", key)
        tested = [tables[domain] for domain in domains or tables if domain in tables]
        if split == "test" and name.startswith(_OF_RANKS) and tested:
            found[key] = fmean(float(user_metric(table, name).mean()) for table in tested)
    return found
