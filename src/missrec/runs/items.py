"""The keys of the items that a run was made on, in order: by them another catalogue is mapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from missrec.data.domain import read_items
from missrec.data.identity import digest_of_texts
from missrec.files import written_whole
from missrec.runs.folder import RunFolder
from missrec.runs.identity import Identity

_DOMAIN, _KEY = "domain", "item_key"


class UnknownItemsError(ValueError):
    """A run does not know by their keys which items it was made on."""


def keys_of_folders(names: Sequence[str], folders: Sequence[Path]) -> dict[str, pl.Series]:
    """Name of each domain -> the keys of its items, in order.

    Args:
        names: of the domains.
        folders: of each, in the same order.
    """
    found = zip(names, folders, strict=True)
    return {name: read_items(folder)["item_key"] for name, folder in found}


def record_items(run: RunFolder, keys: Mapping[str, pl.Series]) -> None:
    """Writes `items.parquet` into a run folder.

    Args:
        run: whose folder is there.
        keys: as `keys_of_folders` finds them.
    """
    parts = [
        pl.DataFrame({_KEY: own.cast(pl.String)}).select(pl.lit(domain).alias(_DOMAIN), _KEY)
        for domain, own in keys.items()
    ]
    with written_whole(run.items) as draft:
        pl.concat(parts).write_parquet(draft, compression="zstd")


def recorded_items(
    run: RunFolder, recorded: Identity | None, *, today: Mapping[str, pl.Series]
) -> dict[str, pl.Series]:
    """Name of each domain -> the keys of the items that a run was made on, in order.

    Runs of before they were recorded know their digests alone: what lies in the folders of today is
    taken for theirs if it has these.

    Args:
        run: the run.
        recorded: the identity of its data.
        today: the keys of the items at hand.

    Raises:
        UnknownItemsError: it does not know its items, or what it wrote of them has changed.
    """
    found = dict(today)
    if run.items.is_file():
        try:
            table = pl.read_parquet(run.items, columns=[_DOMAIN, _KEY])
        except (OSError, pl.exceptions.PolarsError) as error:
            raise UnknownItemsError(f"{run.items} cannot be read: {error}") from error
        groups = table.partition_by(_DOMAIN, as_dict=True, maintain_order=True)
        found = {str(domain): own[_KEY] for (domain,), own in groups.items()}
    if recorded is None:
        if run.items.is_file():
            return found
        raise UnknownItemsError(f"{run.path} does not know which items it was made on")
    for domain, one in recorded.items():
        if domain not in found or digest_of_texts(found[domain]) != one["items"]:
            if run.items.is_file():
                if _same_keys(found, today):  # killed while it was moved to these
                    return found
                raise UnknownItemsError(f"{run.items} is not of the data that the run was made on")
            raise UnknownItemsError(
                f"{run.path} is from before runs recorded the keys of their items, and the items "
                f"of {domain} are no longer those it was made on"
            )
    return {domain: found[domain] for domain in recorded}


def _same_keys(one: Mapping[str, pl.Series], other: Mapping[str, pl.Series]) -> bool:
    return list(one) == list(other) and all(one[name].equals(other[name]) for name in one)
