"""What users have had: lists of keys as callers give them, and of numbers as a model reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
import polars as pl
import torch
from torch import Tensor

from missrec.types import PAD_ID

Keys: TypeAlias = Sequence[str | int] | pl.Series
"""External keys. A whole number stands for its digits: 12 is the key "12"."""

KeyLists: TypeAlias = Iterable[Keys] | pl.Series | pl.DataFrame
"""Lists of keys: of Python, a column of lists, or a frame with one column of lists."""


@dataclass(frozen=True)
class Histories:
    """The items of several histories, each oldest first.

    Attributes:
        items: (T,) int32 or int64 numbers of items, history after history.
        offsets: (H + 1,) int64; history h has items[offsets[h]:offsets[h + 1]].
    """

    items: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        """H."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(H,) items of each."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """(T,) which history each item is of."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def only(self, kept: np.ndarray) -> Histories:
        """The same histories without the items where `kept` (T,) is False."""
        before = np.concatenate([[0], kept.cumsum()])
        return Histories(self.items[kept], before[self.offsets])

    def at(self, rows: np.ndarray) -> Histories:
        """The histories of some rows, in that order."""
        starts, lengths = self.offsets[rows], self.lengths[rows]
        offsets = _offsets(lengths)
        shifts = np.repeat(starts - offsets[:-1], lengths)
        return Histories(self.items[np.arange(offsets[-1]) + shifts], offsets)

    def recent(self, longest: int) -> Histories:
        """The most recent items of each, at most `longest`."""
        place = np.arange(len(self.items))
        return self.only(np.repeat(self.offsets[1:], self.lengths) - place <= longest)

    def padded(self) -> Tensor:
        """(H, L) int64, right-padded with `PAD_ID`; L is the longest of them."""
        lengths = self.lengths
        valid = np.arange(lengths.max(initial=1)) < lengths[:, None]
        padded = np.full(valid.shape, PAD_ID, dtype=np.int64)
        padded[valid] = self.items
        return torch.from_numpy(padded)


def flat_keys(keys: Keys, *, where: str) -> list[str]:
    """Keys as texts.

    Args:
        keys: of one list.
        where: they stand, for messages.

    Raises:
        ValueError: they are no list, or one is neither a text nor a whole number.
    """
    if isinstance(keys, pl.Series):
        return _texts(keys, where=where)
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise ValueError(f"{where} must be a list of keys, such as [{keys!r}], not {keys!r}")
    return [_text(key, where) for key in keys]


def key_batches(lists: KeyLists, *, size: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Keys and offsets of `size` histories at a time.

    Raises:
        ValueError: see `flat_keys`; a history is a set, a frame has no one column of lists, or the
            size is below 1.
    """
    if size < 1:
        raise ValueError(f"batch_size ({size}) must be at least 1")
    if isinstance(lists, pl.DataFrame):
        lists = _only_lists(lists)
    if isinstance(lists, pl.Series):
        lists = _column(lists)
        for part in lists.to_frame().iter_slices(size):
            column = part.to_series()
            lengths = column.list.len().to_numpy()
            flat = column.filter(pl.Series(lengths > 0)).explode()
            yield _texts(flat, where=f"the column {lists.name!r}"), _offsets(lengths)
        return
    if isinstance(lists, str | bytes) or not isinstance(lists, Iterable):
        raise ValueError(f"histories must be lists of keys, such as [[...], [...]], not {lists!r}")
    first, rest = 0, iter(lists)
    while batch := list(islice(rest, size)):
        own = [_in_order(one, where=f"history {row}") for row, one in enumerate(batch, first)]
        yield [key for one in own for key in one], _offsets(np.array([*map(len, own)]))
        first += len(batch)


def _in_order(keys: Keys, *, where: str) -> list[str]:
    if isinstance(keys, Set):
        raise ValueError(f"{where} is a {type(keys).__name__}, which has no order; make it a list")
    return flat_keys(keys, where=where)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], lengths.cumsum()]).astype(np.int64)


def _text(key: object, where: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return str(int(key))
    raise ValueError(
        f"{where} holds {key!r}, a {type(key).__name__}; keys are texts or whole numbers"
    )


def _texts(keys: pl.Series, *, where: str) -> list[str]:
    known = keys.dtype in (pl.String, pl.Null, pl.Categorical, pl.Enum) or keys.dtype.is_integer()
    if not known or keys.null_count():
        what = "a null" if known else f"{keys.dtype}"
        raise ValueError(f"{where} holds {what}; keys are texts or whole numbers")
    texts: list[str] = keys.cast(pl.String).to_list()
    return texts


def _only_lists(frame: pl.DataFrame) -> pl.Series:
    names = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List | pl.Array)]
    if len(names) != 1:
        raise ValueError(
            "a frame of histories has one row a history and one column of lists, not the columns "
            f"{frame.columns}; of one row an item it is made by "
            "frame.group_by('user', maintain_order=True).agg('item')"
        )
    return frame[names[0]]


def _column(lists: pl.Series) -> pl.Series:
    """A column of lists, of whatever length each."""
    if not isinstance(lists.dtype, pl.List | pl.Array) or lists.null_count():
        what = "a null" if lists.null_count() else f"{lists.dtype}"
        raise ValueError(f"the column {lists.name!r} holds {what}; a history is a list of keys")
    return lists.arr.to_list() if isinstance(lists.dtype, pl.Array) else lists
