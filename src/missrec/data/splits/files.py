"""A split that files list: who is validated and tested on what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from missrec.data.splits.splitter import Keys, Split, SplitError, first_of_users, train_targets


class UnnamedPartError(SplitError):
    """A split from files, and nobody said which."""


class GivenFiles:
    """The targets that files name, by the keys of user and item.

    Of several rows of a user in a file, the earliest in the user's sequence is the target. What a
    user did before it is the history; a target without one is left out. Unless a file lists what
    is trained on, that is all before a user's first target, and all of a user without any.
    """

    needs_times = False

    def __init__(
        self,
        *,
        val: str | None,
        test: str | None,
        train: str | None,
        user: str,
        item: str,
        place: str | None,
    ) -> None:
        """Keeps what to read.

        Args:
            val: file of the validation targets: `.csv`, `.tsv`, `.jsonl` or `.parquet`.
            test: file of the test targets.
            train: file of the interactions to train on, the first ones of each user; or None.
            user: column of the user's key.
            item: column of the item's key.
            place: column that says which of the user's interactions is meant, counted from 1;
                needed where a user took a target more than once.

        Raises:
            UnnamedPartError: no file of val or test.
        """
        for name, path in (("val", val), ("test", test)):
            if path is None:
                raise UnnamedPartError(f"no file of the {name} targets is named")
        self._val, self._test = Path(str(val)), Path(str(test))
        self._train = None if train is None else Path(train)
        self._columns = {"user": user, "item": item, **({} if place is None else {"place": place})}

    def with_keys(self, keys: Keys) -> _GivenTargets:
        """What splits the interactions that have these keys."""
        return _GivenTargets(
            keys, val=self._val, test=self._test, train=self._train, columns=self._columns
        )


class _GivenTargets:
    needs_times = False

    def __init__(
        self, keys: Keys, *, val: Path, test: Path, train: Path | None, columns: dict[str, str]
    ) -> None:
        self._keys = keys
        self._val, self._test, self._train = val, test, train
        self._columns = columns

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """The split that the files list; see `Splitter`.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: it cannot be read, or does not fit the interactions.
            SplitError: there are several domains.
        """
        if len(first_users) > 2:
            raise SplitError(f"files split one domain, and here are {len(first_users) - 1}")
        val, test = (self._targets(path, offsets) for path in (self._val, self._test))
        # A position for each user; where it has no target, one past its end.
        val_of, test_of = (_of_users(part, offsets) for part in (val, test))
        is_late = (val_of >= test_of) & (val_of < offsets[1:]) & (test_of < offsets[1:])
        if is_late.any():
            user = self._keys.users[int(np.flatnonzero(is_late)[0])]
            raise ValueError(
                f"{self._val}: the first item of user {user!r} there does not come before its "
                f"first in {self._test}"
            )
        held_out = np.minimum(val_of, test_of)
        train_ends = held_out
        if self._train is not None:
            train_ends = self._train_ends(self._train, offsets)
            is_known = train_ends > held_out
            if is_known.any():
                user = self._keys.users[int(np.flatnonzero(is_known)[0])]
                raise ValueError(f"{self._train}: a target of user {user!r} is trained on too")
        val, test = (first_of_users(part, offsets) for part in (val, test))
        return Split(train_targets(offsets, train_ends), val, test, train_ends)

    def _targets(self, path: Path, offsets: np.ndarray) -> np.ndarray:
        """Ascending positions of the interactions that a file names."""
        rows = self._rows(path, self._columns)
        users = rows["user_id"].to_numpy()
        if "place" in rows.columns:
            places = rows["place"].to_numpy()
            is_inside = (places >= 1) & (places <= np.diff(offsets)[users])
            positions = offsets[users] + np.where(is_inside, places, 1) - 1
            is_right = self._keys.item_ids[positions] == rows["item_id"].to_numpy()
            self._refuse(path, rows, ~(is_inside & is_right), "that user has no such item there")
            return np.unique(positions)
        taken = pl.DataFrame(
            {
                "user_id": np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)),
                "item_id": self._keys.item_ids.astype(np.int64),
                "position": np.arange(offsets[-1]),
            }
        ).join(rows.select("user_id", "item_id").unique(), on=["user_id", "item_id"], how="semi")
        found = taken.group_by("user_id", "item_id").agg(pl.len(), pl.col("position").first())
        rows = rows.join(found, on=["user_id", "item_id"], how="left", maintain_order="left")
        counts = rows["len"].fill_null(0).to_numpy()
        self._refuse(path, rows, counts == 0, "that user did not take that item")
        self._refuse(
            path,
            rows,
            counts > 1,
            "that user took it more than once: a column, named as place, must say which "
            "interaction of the user is meant, counted from 1",
        )
        return np.unique(rows["position"].to_numpy())

    def _train_ends(self, path: Path, offsets: np.ndarray) -> np.ndarray:
        """(U,) where the training of each user ends, whose beginning the file must list."""
        named = {name: self._columns[name] for name in ("user", "item")}
        rows = self._rows(path, named).select("user_id", "item_id")
        counts = np.bincount(rows["user_id"].to_numpy(), minlength=len(offsets) - 1)
        ends: np.ndarray = offsets[:-1] + np.minimum(counts, np.diff(offsets))
        spans = np.repeat(np.arange(len(counts)), ends - offsets[:-1])
        starts = np.cumsum(ends - offsets[:-1]) - (ends - offsets[:-1])
        positions = np.arange(len(spans)) - starts[spans] + offsets[spans]
        first = pl.DataFrame(
            {"user_id": spans, "item_id": self._keys.item_ids[positions].astype(np.int64)}
        )
        listed, expected = (table.group_by(pl.all()).agg(pl.len()) for table in (rows, first))
        both = listed.join(expected, on=["user_id", "item_id"], how="full", coalesce=True)
        unlike = both.filter(pl.col("len").ne_missing(pl.col("len_right")))
        if len(unlike):
            user = self._keys.users[int(unlike["user_id"].to_numpy().min())]
            raise ValueError(
                f"{path}: the rows of user {user!r} are not the first of its interactions; what "
                "is trained on must be the beginning of each user's sequence"
            )
        return ends

    def _rows(self, path: Path, columns: dict[str, str]) -> pl.DataFrame:
        """Those columns of each row, with `user_id` from 0 and `item_id`."""
        rows = _read(path, columns)
        for name, known, first in (("user", self._keys.users, 0), ("item", self._keys.items, 1)):
            ids = pl.DataFrame({name: known}).with_row_index(f"{name}_id", offset=first)
            ids = ids.with_columns(pl.col(f"{name}_id").cast(pl.Int64))
            whole = pl.col(name).str.replace(r"^(-?\d+)\.0+$", "$1")  # as columns with gaps write 7
            key = pl.when(pl.col(name).is_in(known.implode())).then(name).otherwise(whole)
            rows = rows.with_columns(key.alias(name))
            rows = rows.join(ids, on=name, how="left", maintain_order="left")
            is_unknown = rows[f"{name}_id"].is_null().to_numpy()
            self._refuse(path, rows, is_unknown, f"the data has no such {name}")
        return rows

    def _refuse(self, path: Path, rows: pl.DataFrame, is_bad: np.ndarray, why: str) -> None:
        if not is_bad.any():
            return
        first = int(np.flatnonzero(is_bad)[0])
        named = ", ".join(f"{name} {rows[name][first]!r}" for name in self._columns if name in rows)
        count = int(np.count_nonzero(is_bad))
        more = f" (and {count - 1} more of {len(rows)} rows)" if count > 1 else ""
        raise ValueError(f"{path}, row {first + 1} ({named}): {why}{more}")


def _of_users(positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(U,) the first of these ascending positions of each user; one past its end without any."""
    found = np.append(positions, offsets[-1])[np.searchsorted(positions, offsets[:-1])]
    return np.asarray(np.minimum(found, offsets[1:]))


def _read(path: Path, columns: dict[str, str]) -> pl.DataFrame:
    """The columns of a file under their own names: keys as texts, places as whole numbers."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, which should list targets")
    try:
        if path.suffix in (".csv", ".tsv"):
            separator = "\t" if path.suffix == ".tsv" else ","
            table = pl.read_csv(path, separator=separator, infer_schema=False)
        elif path.suffix == ".jsonl":
            table = pl.read_ndjson(path, infer_schema_length=None)
        elif path.suffix == ".parquet":
            table = pl.read_parquet(path)
        else:
            raise ValueError(f"{path}: expected .csv, .tsv, .jsonl or .parquet")
        missing = [column for column in columns.values() if column not in table.columns]
        if missing:
            raise ValueError(
                f"{path} has no column {missing[0]!r}, it has: {', '.join(table.columns)}"
            )
        table = table.select(pl.col(column).alias(name) for name, column in columns.items())
        keys = [pl.col(name).cast(pl.String).str.strip_chars() for name in ("user", "item")]
        table = table.with_columns(*keys)
        if "place" in columns:
            table = table.with_columns(pl.col("place").cast(pl.Int64))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    gaps = [name for name in columns if table[name].null_count()]
    if gaps or table.is_empty():
        what = f"a row without {columns[gaps[0]]!r}" if gaps else "no rows"
        raise ValueError(f"{path} has {what}")
    return table
