"""Hashes by which a domain and its splits are known again, however its ids were numbered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from missrec.data.domain import PreparedDomain
from missrec.data.splits import Splitter


class Fingerprint(NamedTuple):
    """Hex digests over external keys, so that two numberings of the same domain are equal.

    Attributes:
        interactions: of who took what how often, whatever the order.
        splits: name of the split -> of the sequences and of the positions of train, val and test;
            only of splits that the domain has the times for.
    """

    interactions: str
    splits: dict[str, str]


def fingerprint(prepared: PreparedDomain, splitters: Mapping[str, Splitter]) -> Fingerprint:
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
    first_users = np.array([0, len(users)])
    splits = {}
    for name, splitter in splitters.items():
        if times is not None or not splitter.needs_times:
            split = splitter(offsets=offsets, times=times, first_users=first_users)
            parts = (split.train, split.val, split.test)
            splits[name] = _digest(names, [offsets, items, *parts])
    return Fingerprint(_digest(names, [pairs]), splits)


def _digest(names: hashlib._Hash, arrays: Iterable[np.ndarray]) -> str:
    digest = names.copy()
    for array in arrays:
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest.hexdigest()
