"""A domain folder: the tables of one catalogue and its interactions, as Parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl

from missrec.data.manifest import MANIFEST, FolderError, read_manifest, write_manifest
from missrec.data.splits import Keys
from missrec.files import recover_folder

INTERACTIONS, ITEMS, USERS = "interactions.parquet", "items.parquet", "users.parquet"
MIN_INTERACTIONS = 3
"""One each to train on, to validate and to test."""


class Step(NamedTuple):
    """What one step of reading and filtering left; None where it cannot be known."""

    name: str
    num_interactions: int
    num_users: int | None
    num_items: int | None


@dataclass(frozen=True, kw_only=True)
class PreparedDomain:
    """One domain as a source makes it, before it is written.

    Attributes:
        name: name of the domain and of its folder.
        items: (number of interactions,) int32 item ids in 1..N, user after user, oldest first.
        offsets: (number of users + 1,) int64; user u owns items[offsets[u]:offsets[u + 1]].
        times: (number of interactions,) int64 in any unit; None where only the order is known.
        user_keys: external id of each user, in the order of `offsets`.
        item_keys: external id of item 1..N, in order.
        item_texts: text of item 1..N; empty where there is none.
        image_urls: (N,) lists of strings, where images of item 1..N lie, best first; None where
            the source names none.
        features: modality -> (N, F) float32 raw features of item 1..N; an all-zero row = not there.
        settings: how all this was made, for the manifests.
        steps: what reading and filtering left, in order.
        published: users, items and interactions of the published set that this should be.
        pictures: item key -> PNG, of a source that makes its items up; to be looked at alone.
    """

    name: str
    items: np.ndarray
    offsets: np.ndarray
    times: np.ndarray | None
    user_keys: list[str]
    item_keys: list[str]
    item_texts: list[str]
    image_urls: pl.Series | None
    features: dict[str, np.ndarray]
    settings: dict[str, Any]
    steps: Sequence[Step] = ()
    published: Mapping[str, int] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)


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
        times: (number of interactions,) int64, never falling within a user; None where they were
            not asked for, or the folder has only the order.
    """

    name: str
    num_items: int
    items: np.ndarray
    offsets: np.ndarray
    times: np.ndarray | None

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1


def flatten(sequences: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """`items` and `offsets` of a `PreparedDomain` from one list of item ids a user."""
    offsets = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
    items = np.fromiter((item for own in sequences for item in own), np.int32, int(offsets[-1]))
    return items, offsets


def write_domain(
    folder: Path, prepared: PreparedDomain, *, facts: Mapping[str, Any] | None = None
) -> None:
    """Writes the Parquet tables and the manifest of a domain into an existing folder.

    Args:
        folder: without other files.
        prepared: what to write.
        facts: more to keep in the manifest.

    Raises:
        ValueError: the features of a modality do not have one row per item.
    """
    for modality, values in prepared.features.items():
        if len(values) != len(prepared.item_keys):
            raise ValueError(
                f"{prepared.name}: the {modality} features have {len(values)} rows, expected "
                f"{len(prepared.item_keys)}, one per item"
            )
    num_users = len(prepared.user_keys)
    users = np.repeat(np.arange(num_users, dtype=np.int32), np.diff(prepared.offsets))
    interactions = pl.DataFrame({"user_id": users, "item_id": prepared.items})
    if prepared.times is not None:
        interactions.insert_column(2, pl.Series("time", prepared.times))
    interactions.write_parquet(folder / INTERACTIONS)
    pl.DataFrame({"user_key": prepared.user_keys}).with_row_index("user_id").write_parquet(
        folder / USERS
    )
    urls = prepared.image_urls
    if urls is None:
        urls = pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, len(prepared.item_keys))
    items = {
        "item_key": pl.Series(prepared.item_keys, dtype=pl.String),
        "text": pl.Series(prepared.item_texts, dtype=pl.String),
        "image_urls": urls,
    }
    pl.DataFrame(items).with_row_index("item_id", offset=1).write_parquet(folder / ITEMS)
    written = {
        "domain": prepared.name,
        "counts": {
            "users": num_users,
            "items": len(prepared.item_keys),
            "interactions": len(prepared.items),
        },
        "settings": prepared.settings,
        "steps": [step._asdict() for step in prepared.steps],
    }
    write_manifest(folder, {**written, **(facts or {})})


def read_domain(folder: Path, *, with_times: bool = False) -> Domain:
    """The interactions of a domain folder, checked.

    Args:
        folder: written by `write_domain`.
        with_times: whether to read the times too, 8 bytes an interaction.

    Raises:
        MissingFolderError: the folder or a file of it is missing.
        FolderError: the folder does not match its manifest, an item id is outside 1..N, a user
            has fewer than three interactions, or times fall.
    """
    recover_folder(folder)
    manifest = read_manifest(folder, facts=["domain", "counts"], files=[INTERACTIONS, ITEMS, USERS])
    path = folder / INTERACTIONS
    counts = manifest["counts"]
    for name, file in (("interactions", INTERACTIONS), ("users", USERS), ("items", ITEMS)):
        num_rows = pl.scan_parquet(folder / file).select(pl.len()).collect().item()
        if not isinstance(counts, dict) or counts.get(name) != num_rows:
            said = counts.get(name) if isinstance(counts, dict) else None
            raise FolderError(
                f"{folder / file} has {num_rows} rows, its manifest says {said}", folder
            )
    # Column after column: with many interactions each is large.
    users = pl.read_parquet(path, columns=["user_id"])["user_id"].to_numpy()
    offsets = np.searchsorted(users, np.arange(counts["users"] + 1, dtype=users.dtype))
    del users
    items = pl.read_parquet(path, columns=["item_id"])["item_id"].to_numpy()
    times = None
    if with_times and "time" in pl.read_parquet_schema(path):
        times = pl.read_parquet(path, columns=["time"])["time"].to_numpy()
    domain = Domain(
        name=manifest["domain"],
        num_items=counts["items"],
        items=items.astype(np.int32, copy=False),
        offsets=offsets,
        times=times,
    )
    check_domain(domain, source=path)
    return domain


def read_items(folder: Path) -> pl.DataFrame:
    """`item_id`, `item_key`, `text` and `image_urls` of item 1..N, in order.

    Folders written before images had addresses, or from a source without, have empty lists.

    Raises:
        FileNotFoundError: the table is missing.
    """
    items = pl.read_parquet(folder / ITEMS).sort("item_id")
    if "image_urls" not in items.columns:
        items = items.with_columns(image_urls=pl.lit([], dtype=pl.List(pl.String)))
    return items


def read_titles(folders: Sequence[Path]) -> pl.DataFrame:
    """`domain`, `item_key` and `title` of the items of several domains, in order."""
    return pl.concat(
        read_items(folder).select(
            pl.lit(folder.name).alias("domain"),
            "item_key",
            # An item without a text still has a name.
            pl.when(pl.col("text") == "").then("item_key").otherwise("text").alias("title"),
        )
        for folder in folders
    )


def read_keys(folders: Sequence[Path], item_ids: np.ndarray) -> Keys:
    """The keys of users and items of several domains, side by side.

    Args:
        folders: of the domains, in their order.
        item_ids: (number of interactions,) of all of them, in 1..N over all.
    """
    users = [pl.read_parquet(folder / USERS).sort("user_id")["user_key"] for folder in folders]
    items = [read_items(folder)["item_key"] for folder in folders]
    return Keys(pl.concat(users), pl.concat(items), item_ids)


def read_prepared(folder: Path) -> PreparedDomain:
    """All of a domain folder but its features, checked as in `read_domain`."""
    domain = read_domain(folder, with_times=True)
    items = read_items(folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return PreparedDomain(
        name=domain.name,
        items=domain.items,
        offsets=domain.offsets,
        times=domain.times,
        user_keys=pl.read_parquet(folder / USERS).sort("user_id")["user_key"].to_list(),
        item_keys=items["item_key"].to_list(),
        item_texts=items["text"].to_list(),
        image_urls=items["image_urls"],
        features={},
        settings=manifest.get("settings", {}),
    )


def check_domain(domain: Domain, *, source: Path) -> None:
    """Refuses interactions that cannot be trained on.

    Raises:
        FolderError: no interactions, an item id outside 1..N, a user with fewer than three, or
            times that fall within a user.
    """
    if domain.num_users == 0 or len(domain.items) == 0:
        raise FolderError(f"{source} has no interactions", source.parent)
    low, high = int(domain.items.min()), int(domain.items.max())
    if low < 1 or high > domain.num_items:
        bad = low if low < 1 else high
        raise FolderError(
            f"{source}: item id {bad} is out of range, expected 1..{domain.num_items}",
            source.parent,
        )
    lengths = np.diff(domain.offsets)
    shortest = int(lengths.argmin())
    if lengths[shortest] < MIN_INTERACTIONS:
        raise FolderError(
            f"{source}: user {shortest} has {lengths[shortest]} interactions, expected at least "
            f"{MIN_INTERACTIONS} (to train, validate and test)",
            source.parent,
        )
    if domain.times is not None:
        falls = np.flatnonzero(np.diff(domain.times) < 0) + 1
        falls = falls[~np.isin(falls, domain.offsets)]  # the next user may start earlier
        if len(falls):
            raise FolderError(f"{source}: the times fall at interaction {falls[0]}", source.parent)
