"""Files of vectors that another program made, with the keys of what they are of."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from missrec.data.sources.keys import read_key

_NUMBERS = "fiu"
"""Kinds of a numpy type: floats and whole numbers."""

_ROWS_AT_ONCE = 65_536


class Vectors(NamedTuple):
    """The vectors of a file.

    Attributes:
        path: of the file.
        keys: (P,) str, each once.
        values: (P, F) finite; float16 or float32 as in the file, or float32 of another type.
        dtype: of the file.
    """

    path: Path
    keys: pl.Series
    values: np.ndarray
    dtype: str


def read_vectors(
    path: Path, *, keys: Path | None, key_column: str | None, vector_column: str | None
) -> Vectors:
    """The vectors of a file, checked.

    Rows of Parquet whose list is null or empty have no vector and are left out.

    Args:
        path: `.npy`, (P, F); `.npz`, of `keys` (P,) and one other array (P, F); or `.parquet`, of a
            column of keys and one of lists.
        keys: of an `.npy`: one a line, or an `.npy` (P,). None: the file beside it, its name with
            `.keys.txt` or `.keys.npy`.
        key_column: of Parquet; None: the only one without lists.
        vector_column: of Parquet; None: the only one of lists.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of another kind, holds objects that only pickle reads, has
            no such columns, a row without a key, a key twice, other rows than keys, lists of
            different lengths, no numbers, NaN or Inf.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; name the file that holds the vectors")
    if path.suffix == ".parquet":
        found, values = _read_parquet(path, key_column, vector_column)
    elif path.suffix in (".npy", ".npz"):
        found, values = _read_numpy(path, keys)
    else:
        kind = path.suffix or "a file without a suffix"
        raise ValueError(f"{path}: cannot read {kind}, expected .npy, .npz or .parquet")
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(f"{path} has shape {values.shape}, expected rows of numbers, one an item")
    if values.dtype.kind not in _NUMBERS or values.dtype.itemsize > 8:
        raise ValueError(f"{path} holds {values.dtype}, expected numbers such as float32")
    if len(found) != len(values):
        raise ValueError(f"{path} has {len(values)} rows, and there are {len(found)} keys")
    return Vectors(path, _checked_keys(path, found), _finite(path, values), str(values.dtype))


def _read_numpy(path: Path, keys: Path | None) -> tuple[pl.Series, np.ndarray]:
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        return _keys_beside(path, keys), loaded
    others = [name for name in loaded if name != "keys"]
    if len(others) != 1:
        raise ValueError(
            f"{path} holds {', '.join(sorted(loaded)) or 'nothing'}; expected keys and one array "
            "of vectors"
        )
    own = _as_keys(path, pl.Series(loaded["keys"])) if "keys" in loaded else None
    return own if own is not None else _keys_beside(path, keys), loaded[others[0]]


def _load(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """An array, or those of an `.npz`; never by pickle, which may run code."""
    try:
        with path.open("rb") as stream:
            if stream.read(2) == b"PK":
                stream.seek(0)  # numpy would leave a damaged one open
                with np.load(stream, allow_pickle=False) as loaded:
                    return {name: loaded[name] for name in loaded.files}
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except Exception as error:  # a damaged file makes its reader raise anything
        if "pickle" in str(error) or "Python objects" in str(error):
            raise ValueError(
                f"{path} holds Python objects, which only pickle reads, and that may run code; "
                "save plain numbers and texts"
            ) from error
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _keys_beside(path: Path, keys: Path | None) -> pl.Series:
    beside = [path.with_name(f"{path.stem}.keys{suffix}") for suffix in (".txt", ".npy")]
    place = keys or next((found for found in beside if found.is_file()), beside[0])
    if not place.is_file():
        raise FileNotFoundError(
            f"{place} is missing, which says the item key of each row of {path.name}, one a line"
        )
    if place.suffix == ".npy":
        loaded = _load(place)
        if not isinstance(loaded, np.ndarray) or loaded.ndim != 1:
            raise ValueError(f"{place} is no list of keys")
        return _as_keys(place, pl.Series(loaded))
    try:
        text = place.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{place} is no text in UTF-8: {error}") from error
    return pl.Series(text.removesuffix("\n").split("\n"), dtype=pl.String)


def _read_parquet(
    path: Path, key_column: str | None, vector_column: str | None
) -> tuple[pl.Series, np.ndarray]:
    try:
        columns = pl.read_parquet_schema(path)
        lists = [name for name, kind in columns.items() if isinstance(kind, pl.List | pl.Array)]
        plain = [name for name in columns if name not in lists]
        vector = _the_column(path, vector_column, lists, list(columns), "vectors")
        key = _the_column(path, key_column, plain, list(columns), "keys")
        table = pl.read_parquet(path, columns=[key, vector])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise ValueError(f"{path} is no whole Parquet file ({error}); copy it again") from error
    kind = table.schema[vector]
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else kind
    if not isinstance(kind, pl.List | pl.Array) or not inner.is_numeric() or inner.is_decimal():
        raise ValueError(f"{path}: {vector!r} holds {kind}, expected lists of numbers")
    if isinstance(kind, pl.Array):
        table = table.with_columns(pl.col(vector).arr.to_list())
    table = table.with_row_index("row", offset=1).filter(pl.col(vector).list.len() > 0)
    lengths = table[vector].list.len()
    width = int(lengths[0]) if len(table) else 0
    if len(ragged := table.filter(lengths != width)):
        row, _, first = ragged.row(0)
        raise ValueError(
            f"{path}: row {row} has {len(first)} numbers, the first {width} ({len(ragged)} such "
            "rows)"
        )
    keys = _as_keys(path, table[key])
    return keys, table[vector].explode().to_numpy().reshape(len(table), width)


def _the_column(
    path: Path, named: str | None, fitting: list[str], columns: list[str], what: str
) -> str:
    if named is None and len(fitting) == 1:
        return fitting[0]
    if named in columns:
        return str(named)
    why = "" if named is None else f"no column {named!r}; "
    raise ValueError(
        f"{path}: {why}which column holds the {what}? It has {', '.join(columns) or 'none'}"
    )


def _as_keys(path: Path, keys: pl.Series) -> pl.Series:
    """Keys of any type as texts: 12, 12.0 and "12" are the same.

    Raises:
        ValueError: they are of another type, or bytes that are no UTF-8.
    """
    if keys.dtype == pl.Binary:
        try:
            keys = keys.cast(pl.String)
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"{path}: its keys are bytes that are no UTF-8") from error
    if keys.dtype.is_float() and keys.is_finite().all() and (keys == keys.round()).all():
        keys = keys.cast(pl.Int64)
    if keys.dtype.is_decimal():
        texts = [None if key is None else read_key(key, "key") for key in keys]
        keys = pl.Series(texts, dtype=pl.String)
    if not (keys.dtype.is_integer() or keys.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise ValueError(f"{path}: its keys are {keys.dtype}, expected texts or whole numbers")
    return keys.cast(pl.String)


def _checked_keys(path: Path, keys: pl.Series) -> pl.Series:
    keys = keys.str.strip_chars()
    missing = (keys.is_null() | (keys == "")).arg_true()
    if len(missing):
        raise ValueError(f"{path}: row {missing[0] + 1} has no key ({len(missing)} such rows)")
    twice = keys.filter(keys.is_duplicated()).unique(maintain_order=True)
    if len(twice):
        raise ValueError(f"{path}: key {twice[0]!r} occurs twice ({len(twice)} such keys)")
    return keys


def _finite(path: Path, values: np.ndarray) -> np.ndarray:
    """The values, of this machine's byte order, as float32 where they are no float16."""
    kept = np.float16 if values.dtype.kind == "f" and values.dtype.itemsize == 2 else np.float32
    with np.errstate(over="ignore"):  # told below
        values = values.astype(kept, copy=False)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        bad = np.flatnonzero(~np.isfinite(values[start : start + _ROWS_AT_ONCE]).all(axis=1))
        if len(bad):
            raise ValueError(
                f"{path}: row {start + bad[0] + 1} holds NaN, Inf, nothing, or a number beyond "
                f"{np.dtype(kept)}; expected finite numbers"
            )
    return values
