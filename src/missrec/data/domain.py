"""A domain folder: the tables of one catalogue and its interactions, as Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from missrec.data.manifest import read_manifest, write_manifest

INTERACTIONS, ITEMS, USERS = "interactions.parquet", "items.parquet", "users.parquet"
MIN_INTERACTIONS = 3
"""One each to train on, to validate and to test."""


@dataclass(frozen=True, kw_only=True)
class PreparedDomain:
    """One domain as a source makes it, before it is written.

    Attributes:
        name: name of the domain and of its folder.
        sequences: item ids in 1..N of each user, oldest first.
        user_keys: external id of each user, in the order of `sequences`.
        item_keys: external id of item 1..N, in order.
        item_texts: text of item 1..N; empty where there is none.
        features: modality -> (N, F) float32 raw features of item 1..N; an all-zero row = not there.
        settings: how all this was made, for the manifests.
    """

    name: str
    sequences: list[list[int]]
    user_keys: list[str]
    item_keys: list[str]
    item_texts: list[str]
    features: dict[str, np.ndarray]
    settings: dict[str, Any]


class DomainSource(Protocol):
    """Anything that a domain folder can be made from; a new format implements this."""

    def read(self) -> PreparedDomain:
        """Reads or generates the whole domain; raises ValueError on malformed input."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The interactions of one domain in memory: one flat item array plus offsets.

    Attributes:
        name: name of the domain.
        num_items: N; items are 1..N.
        items: (number of interactions,) int32 item ids, user after user, oldest first.
        offsets: (number of users + 1,) int64; user u owns items[offsets[u]:offsets[u + 1]].
    """

    name: str
    num_items: int
    items: np.ndarray
    offsets: np.ndarray

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1


def write_domain(folder: Path, prepared: PreparedDomain) -> None:
    """Writes the Parquet tables and the manifest of a domain into an existing folder.

    Raises:
        ValueError: the features of a modality do not have one row per item.
    """
    for modality, values in prepared.features.items():
        if len(values) != len(prepared.item_keys):
            raise ValueError(
                f"{prepared.name}: the {modality} features have {len(values)} rows, expected "
                f"{len(prepared.item_keys)}, one per item"
            )
    lengths = [len(sequence) for sequence in prepared.sequences]
    interactions = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
            "item_id": np.concatenate(
                [np.zeros(0, dtype=np.int32), *map(_int32, prepared.sequences)]
            ),
        }
    )
    interactions.write_parquet(folder / INTERACTIONS)
    pl.DataFrame({"user_key": prepared.user_keys}).with_row_index("user_id").write_parquet(
        folder / USERS
    )
    pl.DataFrame({"item_key": prepared.item_keys, "text": prepared.item_texts}).with_row_index(
        "item_id", offset=1
    ).write_parquet(folder / ITEMS)
    facts = {
        "domain": prepared.name,
        "counts": {
            "users": len(lengths),
            "items": len(prepared.item_keys),
            "interactions": sum(lengths),
        },
        "settings": prepared.settings,
    }
    write_manifest(folder, facts)


def _int32(sequence: list[int]) -> np.ndarray:
    return np.asarray(sequence, dtype=np.int32)


def prepare_remedy(name: str) -> str:
    """What to do about a bad or missing domain folder."""
    return f"make the folder again with `python src/prepare.py data={name}`"


def read_domain(folder: Path) -> Domain:
    """The interactions of a domain folder, checked.

    Raises:
        FileNotFoundError: the folder or a file of it is missing.
        ValueError: the folder does not match its manifest, an item id is outside 1..N, or a user
            has fewer than three interactions.
    """
    remedy = prepare_remedy(folder.name)
    manifest = read_manifest(
        folder, facts=["domain", "counts"], files=[INTERACTIONS, ITEMS, USERS], remedy=remedy
    )
    path = folder / INTERACTIONS
    counts = manifest["counts"]
    # Column after column: with many interactions each is large.
    users = pl.read_parquet(path, columns=["user_id"])["user_id"].to_numpy()
    if len(users) != counts["interactions"]:
        raise ValueError(
            f"{path} has {len(users)} rows, its manifest says {counts['interactions']}; {remedy}"
        )
    offsets = np.searchsorted(users, np.arange(counts["users"] + 1, dtype=users.dtype))
    del users
    items = pl.read_parquet(path, columns=["item_id"])["item_id"].to_numpy()
    domain = Domain(
        name=manifest["domain"],
        num_items=counts["items"],
        items=items.astype(np.int32, copy=False),
        offsets=offsets,
    )
    check_domain(domain, source=path, remedy=remedy)
    return domain


def read_items(folder: Path) -> pl.DataFrame:
    """`item_id`, `item_key` and `text` of item 1..N, in order.

    Raises:
        FileNotFoundError: the table is missing.
    """
    return pl.read_parquet(folder / ITEMS).sort("item_id")


def check_domain(domain: Domain, *, source: Path, remedy: str) -> None:
    """Refuses interactions that cannot be trained on.

    Raises:
        ValueError: no interactions, an item id outside 1..N, or a user with fewer than three.
    """
    if domain.num_users == 0 or len(domain.items) == 0:
        raise ValueError(f"{source} has no interactions; {remedy}")
    low, high = int(domain.items.min()), int(domain.items.max())
    if low < 1 or high > domain.num_items:
        bad = low if low < 1 else high
        raise ValueError(
            f"{source}: item id {bad} is out of range, expected 1..{domain.num_items}; {remedy}"
        )
    lengths = np.diff(domain.offsets)
    shortest = int(lengths.argmin())
    if lengths[shortest] < MIN_INTERACTIONS:
        raise ValueError(
            f"{source}: user {shortest} has {lengths[shortest]} interactions, expected at least "
            f"{MIN_INTERACTIONS} (to train, validate and test); {remedy}"
        )
