"""The ranks of a run's test users, as files of its folder."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from missrec.metrics.paired import write_ranks
from missrec.metrics.ranking import TargetRanks
from missrec.types import DomainSpan

_RANKS = ("test_ranks_", ".parquet")


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
    write_ranks(path, table)
