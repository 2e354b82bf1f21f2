"""Two systems on the same users, from the ranks that their runs recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError

from missrec.metrics.ranking import TargetRanks, per_user_metrics
from missrec.metrics.signed import read_signed
from missrec.metrics.significance import PairedDifference, paired_differences

_COLUMNS = ("user_id", "target_id", "rank")
_TIES = "num_equal"


class Compared(NamedTuple):
    """One metric of two systems.

    Attributes:
        ours: its mean over users, one value a seed.
        theirs: as `ours`, of the other system.
        difference: ours minus theirs.
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


def read_ranks(path: Path) -> pl.DataFrame:
    """The ranks that a run recorded, by rising user.

    Returns:
        `user_id`, `target_id`, the expected `rank`, and `num_equal`, how many items tie with the
        target: null in a file from before that was recorded.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged, or no table of ranks, each from 1.
    """
    table = read_signed(path, of="ranks")
    try:
        ranks = table.select(_COLUMNS)["rank"].cast(pl.Float64)
        ties = table[_TIES].cast(pl.Int64) if _TIES in table.columns else None
    except (PolarsError, PanicException, ValueError, ArithmeticError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{path} is no whole table of ranks: {reason}") from error
    if not len(ranks) or ranks.null_count() or not (ranks.is_finite() & (ranks >= 1)).all():
        raise ValueError(f"{path} must hold ranks, each a number from 1")
    if ties is not None:
        above = ranks - 1 - ties / 2
        if ties.null_count() or not ((ties >= 0) & (above >= 0) & (above == above.floor())).all():
            raise ValueError(f"{path} holds ranks that do not fit the ties beside them, {_TIES}")
    unknown = pl.lit(None, dtype=pl.Int64).alias(_TIES)
    return table.with_columns(ranks, unknown if ties is None else ties).sort("user_id")


def knows_ties(path: Path) -> bool:
    """Whether a file of ranks says how many items tie with each target; True of a damaged one."""
    try:
        return _TIES in pl.read_parquet_schema(path)
    except (PolarsError, PanicException, OSError):
        return True  # who reads it says so


def target_ranks(ranks: pl.DataFrame) -> TargetRanks:
    """A table of `read_ranks` as it was counted.

    Where the ties are not known the expected rank is all there is: it is taken for the rank.
    """
    equal = ranks[_TIES].fill_null(0)
    counts = (ranks["rank"] - 1 - equal / 2, equal)
    columns = (ranks["user_id"], ranks["target_id"], *counts)
    return TargetRanks(*(column.to_torch() for column in columns))


def user_metric(ranks: pl.DataFrame, metric: str) -> np.ndarray:
    """(U,) a metric such as `ndcg@10` of each user.

    Raises:
        ValueError: the metric is not recall@k, ndcg@k or mrr@k.
    """
    name, _, cutoff = metric.partition("@")
    if name not in {"recall", "ndcg", "mrr"} or not cutoff.isdecimal():
        raise ValueError(f"metrics: {metric} is not recall@k, ndcg@k or mrr@k")
    users = target_ranks(ranks)
    values = per_user_metrics(users.num_greater, users.num_equal, cutoffs=[int(cutoff)])[metric]
    return np.asarray(values)


def user_metrics(seeds: Sequence[pl.DataFrame], metrics: Sequence[str]) -> np.ndarray:
    """(S, U, M) of the ranks of each seed; raises as `user_metric` does."""
    found = [[user_metric(table, metric) for metric in metrics] for table in seeds]
    return np.stack(found).swapaxes(1, 2)


def compare_ranks(
    ours: Sequence[pl.DataFrame],
    theirs: Sequence[pl.DataFrame],
    *,
    metrics: Sequence[str],
    fixed: tuple[bool, bool],
    num_resamples: int,
    seed: int,
) -> dict[str, Compared]:
    """Metrics of two systems, paired over users.

    Args:
        ours: the ranks of each seed, as `read_paired` gives them.
        theirs: as `ours`, of the other system.
        metrics: as `user_metric`.
        fixed: see `paired_differences`.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Metric -> figures.
    """
    values = [user_metrics(system, metrics) for system in (ours, theirs)]
    differences = paired_differences(*values, fixed=fixed, num_resamples=num_resamples, seed=seed)
    means = [system.mean(axis=1).T for system in values]  # (metrics, seeds)
    found = zip(metrics, *means, differences, strict=True)
    return {
        metric: Compared(tuple(map(float, own)), tuple(map(float, other)), difference)
        for metric, own, other, difference in found
    }
