"""Tables as Parquet files that know a checksum of their values."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
from polars.exceptions import PanicException, PolarsError

from missrec.files import written_whole

_CHECKSUM = "missrec_sha256"
"""Of the values; files of before have none."""


def write_signed(path: Path, table: pl.DataFrame) -> None:
    """Writes a table of numbers whole or not at all, with a checksum for `read_signed`."""
    with written_whole(path) as draft:
        table.write_parquet(draft, metadata={_CHECKSUM: _checksum(table)})


def read_signed(path: Path, *, of: str) -> pl.DataFrame:
    """A table as it was written.

    Args:
        path: of the file.
        of: what it holds, for messages.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged, or was changed since.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; only a finished run has it")
    try:
        own = pl.read_parquet_metadata(path).get(_CHECKSUM)
        table = pl.read_parquet(path)
    except (PolarsError, PanicException, ValueError, ArithmeticError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{path} is no whole table of {of}: {reason}") from error
    if own is not None and own != _checksum(table):
        raise ValueError(f"{path} was changed since it was written")
    return table


def _checksum(table: pl.DataFrame) -> str:
    digest = hashlib.sha256()
    for column in table.iter_columns():
        digest.update(f"{column.name} {column.dtype} {len(column)} ".encode())
        digest.update(column.to_numpy().tobytes())
    return digest.hexdigest()
