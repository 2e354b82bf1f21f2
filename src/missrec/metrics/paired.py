"""Two systems on the same users, from the ranks that their runs recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError

from missrec.files import written_whole
from missrec.metrics.ranking import per_user_metrics
from missrec.metrics.significance import PairedDifference, paired_bootstrap

_COLUMNS = ("user_id", "target_id", "rank")
_CHECKSUM = "missrec_sha256"
"""Of the values; files of before have none."""


class Compared(NamedTuple):
    """One metric of two systems.

    Attributes:
        ours: its mean over users, one value a seed.
        theirs: as `ours`, of the other system.
        difference: ours minus theirs, the seeds of a user averaged first.
    """

    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    difference: PairedDifference


def read_paired(files: Sequence[Path]) -> list[pl.DataFrame]:
    """The recorded ranks of each file, by rising user; all of the same users and targets.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file cannot be read, or has other users or targets than the first.
    """
    tables = [read_ranks(path) for path in files]
    users = tables[0].select("user_id", "target_id")
    for path, table in zip(files, tables, strict=True):
        if not table.select("user_id", "target_id").equals(users):
            raise ValueError(f"{path} did not rank the users and targets of {files[0]}")
    return tables


def write_ranks(path: Path, table: pl.DataFrame) -> None:
    """Writes ranks whole or not at all, with a checksum that `read_ranks` compares."""
    with written_whole(path) as draft:
        table.write_parquet(draft, metadata={_CHECKSUM: _checksum(table)})


def read_ranks(path: Path) -> pl.DataFrame:
    """The ranks that a run recorded, by rising user.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged, or no table of ranks, each from 1.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; only a finished run has it")
    try:
        own = pl.read_parquet_metadata(path).get(_CHECKSUM)
        table = pl.read_parquet(path)
        ranks = table.select(_COLUMNS)["rank"].cast(pl.Float64)
    except (PolarsError, PanicException, ValueError, ArithmeticError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{path} is no whole table of ranks: {reason}") from error
    if own is not None and own != _checksum(table):
        raise ValueError(f"{path} was changed since it was written")
    if not len(ranks) or ranks.null_count() or not (ranks.is_finite() & (ranks >= 1)).all():
        raise ValueError(f"{path} must hold ranks, each a number from 1")
    return table.with_columns(ranks).sort("user_id")


def user_metric(ranks: pl.DataFrame, metric: str) -> np.ndarray:
    """(U,) a metric such as `ndcg@10` of each user.

    Raises:
        ValueError: the metric is not recall@k, ndcg@k or mrr@k.
    """
    name, _, cutoff = metric.partition("@")
    if name not in {"recall", "ndcg", "mrr"} or not cutoff.isdecimal():
        raise ValueError(f"metrics: {metric} is not recall@k, ndcg@k or mrr@k")
    values: np.ndarray = per_user_metrics(ranks["rank"].to_torch(), cutoffs=[int(cutoff)])[
        metric
    ].numpy()
    return values


def compare_ranks(
    ours: Sequence[pl.DataFrame],
    theirs: Sequence[pl.DataFrame],
    *,
    metric: str,
    num_resamples: int,
    seed: int,
) -> Compared:
    """A metric of two systems, paired over users.

    Args:
        ours: the ranks of each seed, as `read_paired` gives them.
        theirs: as `ours`, of the other system.
        metric: as `user_metric`.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    values = [[user_metric(table, metric) for table in system] for system in (ours, theirs)]
    difference = paired_bootstrap(
        np.mean(values[0], axis=0),
        np.mean(values[1], axis=0),
        num_resamples=num_resamples,
        seed=seed,
    )
    means = [tuple(float(seed.mean()) for seed in system) for system in values]
    return Compared(means[0], means[1], difference)


def _checksum(table: pl.DataFrame) -> str:
    digest = hashlib.sha256()
    for column in table.iter_columns():
        digest.update(f"{column.name} {column.dtype} {len(column)} ".encode())
        digest.update(column.to_numpy().tobytes())
    return digest.hexdigest()
