"""Hashes by which data is known to be the same, numbering and order included."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from missrec.data.domain import ITEMS, USERS, read_keys
from missrec.data.splits import AnySplitter, Split, with_keys

if TYPE_CHECKING:
    from missrec.data.mixing import MixedDomains  # torch takes seconds

_AT_ONCE = 1 << 20


def split_mixed(mixed: MixedDomains, folders: Sequence[Path], splitter: AnySplitter) -> Split:
    """The split of domains that were read from these folders.

    Raises:
        ValueError: they cannot be split in this way.
    """
    able = with_keys(splitter, lambda: read_keys(folders, mixed.items))
    return able(offsets=mixed.offsets, times=mixed.times, first_users=mixed.first_users)


def domain_identities(
    mixed: MixedDomains, folders: Sequence[Path], splitter: AnySplitter
) -> dict[str, dict[str, Any]]:
    """Name of each domain -> hex digests of its content, the same on every machine.

    Of content, not of files: another version of a library may write the same tables as other
    bytes. `interactions` are the items of each user as numbered, oldest first; times count by the
    order that they give, and by what a split by time makes of them. `items` and `users` are the
    keys in order, `item_keys` those of the items sorted.

    Args:
        mixed: the domains.
        folders: of each domain, in the same order.
        splitter: what splits them.
    """
    split = split_mixed(mixed, folders, splitter)
    found = {}
    bounds = zip(mixed.spans, folders, pairwise(mixed.first_users.tolist()), strict=True)
    for span, folder, (first_user, last_user) in bounds:
        offsets = mixed.offsets[first_user : last_user + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        targets = [
            part[slice(*np.searchsorted(part, [first, last]))]
            for part in (split.train, split.val, split.test)
        ]
        positions = [(part, first) for part in (*targets, split.train_ends[first_user:last_user])]
        keys = pl.read_parquet(folder / ITEMS, columns=["item_id", "item_key"]).sort("item_id")
        users = pl.read_parquet(folder / USERS, columns=["user_id", "user_key"]).sort("user_id")
        found[span.name] = {
            "interactions": _of_numbers(
                [(offsets, first), (mixed.items[first:last], span.first_item - 1)]
            ),
            "items": digest_of_texts(keys["item_key"]),
            "item_keys": digest_of_texts(keys["item_key"].sort()),
            "users": digest_of_texts(users["user_key"]),
            "split": {"by": type(splitter).__name__, "positions": _of_numbers(positions)},
        }
    return found


def _of_numbers(arrays: Sequence[tuple[np.ndarray, int]]) -> str:
    """Of whole numbers, each less the number that counting starts from in its array."""
    digest = hashlib.sha256()
    for values, start in arrays:
        digest.update(len(values).to_bytes(8, "little"))
        for place in range(0, len(values), _AT_ONCE):
            part = values[place : place + _AT_ONCE].astype("<i8") - start
            digest.update(np.ascontiguousarray(part, dtype="<i8").data)
    return digest.hexdigest()


def digest_of_texts(texts: pl.Series) -> str:
    """Hex digest of the length of each text and of all texts; no two lists have the same."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(texts.str.len_bytes().to_numpy(), dtype="<i8").data)
    for place in range(0, len(texts), _AT_ONCE):
        digest.update("".join(texts[place : place + _AT_ONCE]).encode())
    return digest.hexdigest()
