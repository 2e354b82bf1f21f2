"""Ranks that stay when runs go: a row measured later is compared with rows of before.

A file a row, `docs/results/ranks/<row>.parquet`: for each seed how many items scored higher than a
user's target, and how many tied with it. Users lie in the order of their ids, without these and
without targets; a digest of both says which rows ranked the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from missrec.files import written_whole
from missrec.metrics.paired import compare_ranks, read_paired
from missrec.metrics.significance import PairedDifference
from missrec.runs.groups import Group

_OF, _LEARNS = "users_and_targets", "learns"
_NUM_RESAMPLES = 10_000


class KeptRanks(NamedTuple):
    """The ranks of a row.

    Attributes:
        of: digest of the users and targets that were ranked.
        learns: whether the runs differ with their seeds.
        seeds: a table a seed, as `read_paired` gives them, users numbered from 0.
    """

    of: str
    learns: bool
    seeds: list[pl.DataFrame]


def keep_ranks(path: Path, group: Group) -> None:
    """Writes the ranks of the runs of a row, of one domain.

    Raises:
        FileNotFoundError, ValueError: ranks are missing, damaged, or of several domains.
    """
    files = []
    for run in group.runs:
        if len(run.ranks) != 1:
            raise ValueError(f"{run.name} has ranks of {len(run.ranks)} domains, not of one")
        files += run.ranks.values()
    tables = read_paired(files)
    ranked = tables[0].select("user_id", "target_id").to_numpy()
    metadata = {_OF: hashlib.sha256(ranked.tobytes()).hexdigest()[:16], _LEARNS: str(group.learns)}
    columns = {}
    for seed, table in zip(group.seeds, tables, strict=True):
        equal = table["num_equal"].cast(pl.Int32)
        if equal.null_count():
            raise ValueError(f"the ranks of seed {seed} are from before ties were recorded")
        columns[f"{seed} higher"] = (table["rank"] - 1 - equal / 2).cast(pl.Int32)
        columns[f"{seed} equal"] = equal
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as draft:
        pl.DataFrame(columns).write_parquet(draft, compression_level=19, metadata=metadata)


def read_kept(path: Path) -> KeptRanks | None:
    """The ranks of a row; None where none were kept."""
    if not path.exists():
        return None
    table, metadata = pl.read_parquet(path), pl.read_parquet_metadata(path)
    columns = table.get_columns()
    users = pl.int_range(len(table), eager=True)
    seeds = [
        pl.DataFrame(
            {
                "user_id": users,
                "target_id": users,
                "rank": higher + 1 + equal / 2,
                "num_equal": equal,
            }
        )
        for higher, equal in zip(columns[::2], columns[1::2], strict=True)
    ]
    return KeptRanks(metadata[_OF], metadata[_LEARNS] == "True", seeds)


def differences(
    ours: KeptRanks, theirs: KeptRanks, metrics: Sequence[str]
) -> dict[str, PairedDifference]:
    """Metric -> a row minus another, see `paired_differences`.

    Raises:
        ValueError: they ranked other users or targets.
    """
    if ours.of != theirs.of:
        raise ValueError("rows that a table compares ranked other users or targets")
    found = compare_ranks(
        ours.seeds,
        theirs.seeds,
        metrics=metrics,
        fixed=(not ours.learns, not theirs.learns),
        num_resamples=_NUM_RESAMPLES,
        seed=0,
    )
    return {metric: compared.difference for metric, compared in found.items()}
