"""What callers ask for by key, as numbers; keys that nobody has are told of, and left out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from missrec.features.checks import check_truths
from missrec.retrieval.catalogue import UNKNOWN, KeyIndex
from missrec.retrieval.histories import Histories, KeyLists, Keys, flat_keys, key_batches

_EXAMPLES = 3
_AT_ONCE = 1024

_log = logging.getLogger(__name__)


class Selection(NamedTuple):
    """What each history of a request gets.

    Attributes:
        k: items out of each list, at least 1.
        exclude_seen: none of the history's own.
        lists: name -> (N,) bool, the items that the list may give, None for all of them. A request
            without lists has one without a name.
    """

    k: int
    exclude_seen: bool
    lists: Mapping[str | None, Tensor | None]


class KnownHistories(NamedTuple):
    """A batch of histories as far as they are known.

    Attributes:
        places: (H,) int64, of those with a known item among all that were given, from 0.
        histories: (H of them) their known items.
    """

    places: np.ndarray
    histories: Histories


class _UnknownKeys:
    """Counts keys that nobody has, to say so once."""

    def __init__(self, index: KeyIndex) -> None:
        self._index = index
        self._examples: dict[str, None] = {}
        self._num_unknown = self._num_keys = 0

    def numbers(self, keys: Sequence[str]) -> np.ndarray:
        """(number of keys,) int64; `UNKNOWN` for a key that nobody has, which is counted."""
        numbers = self._index.numbers(keys)
        places = np.flatnonzero(numbers == UNKNOWN)
        self._num_unknown += len(places)
        self._num_keys += len(keys)
        for place in places.tolist():
            if len(self._examples) == _EXAMPLES:
                break
            self._examples[keys[place]] = None
        return numbers

    def warn(self) -> None:
        if self._num_unknown:
            _log.warning(
                "%s of %s keys are none of the %s, such as %s",
                f"{self._num_unknown:,}",
                f"{self._num_keys:,}",
                self._index.name,
                ", ".join(map(repr, self._examples)),
            )


def no_histories() -> KnownHistories:
    """A batch of none."""
    none = np.empty(0, dtype=np.int64)
    return KnownHistories(none, Histories(none, np.zeros(1, dtype=np.int64)))


def known_histories(
    index: KeyIndex, histories: KeyLists, *, batch_size: int
) -> Iterator[KnownHistories]:
    """Of every `batch_size` histories those with a known item; warns of the others at the end."""
    unknown = _UnknownKeys(index)
    first = 0
    try:
        for keys, offsets in key_batches(histories, size=batch_size):
            numbers = unknown.numbers(keys)
            known = Histories(numbers, offsets).only(numbers != UNKNOWN)
            rows = np.flatnonzero(known.lengths)
            yield KnownHistories(first + rows, known.at(rows))
            first += len(known)
    finally:
        unknown.warn()


def unknown_keys(index: KeyIndex, histories: KeyLists) -> pl.DataFrame:
    """`history`, its place, and `item` of each key in histories that nobody has."""
    frames = [pl.DataFrame(schema={"history": pl.Int64, "item": pl.String})]
    first = 0
    for keys, offsets in key_batches(histories, size=_AT_ONCE):
        places = np.flatnonzero(index.numbers(keys) == UNKNOWN)
        rows = first + np.searchsorted(offsets, places, side="right") - 1
        named = pl.Series([keys[place] for place in places.tolist()], dtype=pl.String)
        frames.append(pl.DataFrame({"history": rows, "item": named}))
        first += len(offsets) - 1
    return pl.concat(frames)


def known_numbers(index: KeyIndex, keys: Keys, *, where: str) -> np.ndarray:
    """The numbers of the keys that are known; warns of the others.

    Args:
        index: of all keys.
        keys: to look up.
        where: they stand, for messages.

    Raises:
        ValueError: they are no keys.
    """
    unknown = _UnknownKeys(index)
    numbers = unknown.numbers(flat_keys(keys, where=where))
    unknown.warn()
    known: np.ndarray = numbers[numbers != UNKNOWN]
    return known


def all_numbers(index: KeyIndex, keys: Keys | None, *, where: str) -> np.ndarray:
    """As `known_numbers`, of keys that must be known.

    Raises:
        ValueError: one is not, or they are no keys.
    """
    if keys is None:
        return np.arange(len(index))
    texts = flat_keys(keys, where=where)
    numbers = index.numbers(texts)
    places = np.flatnonzero(numbers == UNKNOWN)
    if len(places):
        raise ValueError(f"{where}: {texts[places[0]]!r} is none of the {index.name}")
    return numbers


def select(
    index: KeyIndex,
    *,
    k: int,
    exclude_seen: bool,
    allow: Keys | None,
    block: Keys | None,
    lists: Mapping[str, Keys] | None,
) -> Selection:
    """What a request asks for, by number; see `CatalogueRecommender.recommend`.

    Raises:
        ValueError: k is no whole number of at least 1, exclude_seen is neither true nor false, or
            what should be keys is none.
    """
    check_k(k)
    check_truths(exclude_seen=exclude_seen)
    allowed = None if allow is None else _mask(index, allow, where="allow")
    if block is not None:
        others = ~_mask(index, block, where="block")
        allowed = others if allowed is None else allowed & others
    if lists is None:
        return Selection(k, exclude_seen, {None: allowed})
    if not isinstance(lists, Mapping):
        raise ValueError(f"lists must name lists of keys, as in {{'new': [...]}}, not {lists!r}")
    if not lists:
        raise ValueError("lists holds none; leave it out for one of all items")
    named: dict[str | None, Tensor | None] = {}
    for name, keys in lists.items():
        if str(name) in named:
            raise ValueError(f"lists has two of the name {str(name)!r}")
        own = _mask(index, keys, where=f"lists, {name!r}")
        named[str(name)] = own if allowed is None else own & allowed
    return Selection(k, exclude_seen, named)


def check_k(k: int) -> None:
    """Refuses a number of items that is none.

    Raises:
        ValueError: it is no whole number of at least 1.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k ({k}) must be a whole number of at least 1")


def _mask(index: KeyIndex, keys: Keys, *, where: str) -> Tensor:
    """(N,) bool, True for these keys."""
    mask = torch.zeros(len(index), dtype=torch.bool)
    mask[torch.from_numpy(known_numbers(index, keys, where=where))] = True
    return mask
