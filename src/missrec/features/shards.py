"""Encoded inputs on disk, under the digest of the input: what an extraction has done so far."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import polars as pl

from missrec.features.encoders.encoder import ENCODED
from missrec.features.store import FEATURES, features_manifest, inputs_file
from missrec.files import written_whole

_log = logging.getLogger(__name__)


class Shard(NamedTuple):
    """Some inputs that were encoded.

    Attributes:
        digests: (S,) str, sha256 of each input.
        outcomes: (S,) str, see `encoders.py`.
        values: (S, F) float16 or float32; rows without features hold zeros.
    """

    digests: np.ndarray
    outcomes: np.ndarray
    values: np.ndarray


def write_shard(folder: Path, shard: Shard) -> None:
    """Writes a shard into the folder, whole or not at all."""
    name = f"{shard.digests[0]}.npz"  # no other shard has this input
    with written_whole(folder / name) as draft, draft.open("wb") as stream:
        np.savez(stream, **shard._asdict())


def read_shards(folder: Path) -> list[Shard]:
    """The readable shards of a folder; none where there is no such folder."""
    shards = []
    for path in sorted(folder.glob("[!.]*.npz")):
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                shards.append(Shard(**{name: arrays[name] for name in Shard._fields}))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            _log.warning("%s cannot be read (%s); its inputs are encoded again", path, error)
    return shards


def read_finished(
    domain_folder: Path, modality: str, *, fingerprint: str
) -> tuple[pl.DataFrame, Shard] | None:
    """What `features/` holds of a modality if it was made with the same fingerprint.

    Returns:
        The table of the encoded inputs, `item_id`, `sha256` and `outcome`, with the shard of the
        same inputs; None where there is nothing to use.
    """
    try:
        manifest = features_manifest(domain_folder)
    except (FileNotFoundError, ValueError):
        return None  # what is wrong is told when the features are replaced
    settings: dict[str, Any] = manifest["settings"].get(modality, {})
    if settings.get("fingerprint") != fingerprint:
        if modality in manifest["counts"]:
            _log.info(
                "%s: the %s features there were made with another encoder or other settings",
                domain_folder.name,
                modality,
            )
        return None
    inputs = pl.read_parquet(domain_folder / FEATURES / inputs_file(modality))
    rows = np.load(domain_folder / FEATURES / f"{modality}.npy", allow_pickle=False)
    values = np.zeros((len(inputs), rows.shape[1]), dtype=rows.dtype)
    values[inputs["outcome"].is_in(ENCODED).to_numpy()] = rows
    return inputs, Shard(inputs["sha256"].to_numpy(), inputs["outcome"].to_numpy(), values)


def join_shards(shards: Sequence[Shard], digests: pl.Series) -> Shard:
    """The shard of these inputs, in their order; every one of them is in some shard."""
    everything = Shard(*(np.concatenate(arrays) for arrays in zip(*shards, strict=True)))
    row_of_digest = {digest: row for row, digest in enumerate(everything.digests.tolist())}
    rows = np.array([row_of_digest[digest] for digest in digests], dtype=np.int64)
    return Shard(*(array[rows] for array in everything))
