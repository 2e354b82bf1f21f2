"""Learning curves from the CSV files of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from missrec.runs.groups import Run


def learning_curve(run: Run, key: str) -> Mapping[int, float]:
    """Epoch -> a logged metric such as `val/ndcg@10`; empty where the run logged none.

    A resumed run wrote a file each time; what it did again after its checkpoint replaces what came
    before. The last validation, of the chosen epoch, is no point of the curve.
    """
    curve: dict[int, float] = {}
    for path in sorted(run.folder.glob("csv/version_*/metrics.csv"), key=_version):
        curve |= _read(path, key)
    end = run.metrics.get("epochs", 0)
    return {epoch: curve[epoch] for epoch in sorted(curve) if epoch < end}


def _version(path: Path) -> int:
    number = path.parent.name.removeprefix("version_")
    return int(number) if number.isdecimal() else -1


def _read(path: Path, key: str) -> dict[int, float]:
    try:
        table = pl.read_csv(path, infer_schema=False, truncate_ragged_lines=True)
        if not {"epoch", key} <= set(table.columns):
            return {}
        columns = pl.col("epoch").cast(pl.Int64), pl.col(key).cast(pl.Float64)
        points = table.select(
            column.alias(name) for name, column in zip("xy", columns, strict=True)
        )
    except (PolarsError, OSError):
        return {}  # a run killed while it wrote; its metrics do not depend on this file
    return dict(points.drop_nulls().filter(pl.col("y").is_finite()).rows())
