"""Hashes by which a domain and its splits are known again, however its ids were numbered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from missrec.data.domain import PreparedDomain
from missrec.data.splits import AnySplitter, Keys, with_keys


class Fingerprint(NamedTuple):
    """Hex digests over external keys, so that two numberings of the same domain are equal.

    Attributes:
        interactions: of who took what how often, whatever the order.
        splits: name of the split -> of the sequences and of the positions of train, val and test;
            only of splits that the domain has the times for.
    """

    interactions: str
    splits: dict[str, str]


def fingerprint(prepared: PreparedDomain, splitters: Mapping[str, AnySplitter]) -> Fingerprint:
    """The hashes of a domain."""
    users = pl.Series(prepared.user_keys, dtype=pl.String).arg_sort().to_numpy()
    keys = pl.Series(prepared.item_keys, dtype=pl.String)
    rank_of_item = np.empty(len(keys) + 1, dtype=np.int64)  # 0 is padding
    rank_of_item[keys.arg_sort().to_numpy() + 1] = np.arange(len(keys))

    # Users in the order of their keys, items by the rank of theirs.
    lengths = np.diff(prepared.offsets)[users]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    moved = np.repeat(prepared.offsets[users] - offsets[:-1], lengths) + np.arange(offsets[-1])
    items = rank_of_item[prepared.items[moved]]
    times = None if prepared.times is None else prepared.times[moved]
    del moved

    names = hashlib.sha256()
    for column in (prepared.user_keys, prepared.item_keys):
        names.update("\n".join([*sorted(column), ""]).encode())
    pairs = np.repeat(np.arange(len(users)) * len(keys), lengths) + items
    pairs.sort()
    interactions = _digest(names, [pairs])
    del pairs
    sequences = _added(names, [offsets, items])
    first_users = np.array([0, len(users)])

    def sorted_keys() -> Keys:
        named = pl.Series(prepared.user_keys, dtype=pl.String)
        return Keys(named.gather(users), keys.sort(), items + 1)

    splits = {}
    for name, splitter in splitters.items():
        if times is not None or not splitter.needs_times:
            able = with_keys(splitter, sorted_keys)
            split = able(offsets=offsets, times=times, first_users=first_users)
            splits[name] = _digest(sequences, [split.train, split.val, split.test])
    return Fingerprint(interactions, splits)


def _digest(before: hashlib._Hash, arrays: Iterable[np.ndarray]) -> str:
    return _added(before, arrays).hexdigest()


def _added(before: hashlib._Hash, arrays: Iterable[np.ndarray]) -> hashlib._Hash:
    digest = before.copy()
    for array in arrays:
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest
