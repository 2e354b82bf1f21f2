"""Raw features on disk: per modality, only the rows that exist, and which items they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from missrec.data.domain import ITEMS, prepare_remedy
from missrec.data.manifest import read_manifest, sha256, write_manifest

FEATURES = "features"
_ROWS_AT_ONCE = 65_536


class ModalityFeatures(NamedTuple):
    """The cached features of one modality of one domain.

    Attributes:
        item_ids: (P,) int64 ids in 1..N of the items that have the modality, ascending.
        values: (P, F) float16 or float32, opened memory-mapped.
    """

    item_ids: np.ndarray
    values: np.ndarray


def write_features(
    domain_folder: Path, features: Mapping[str, np.ndarray], *, settings: dict[str, Any]
) -> None:
    """Writes `features/` of a domain folder whose tables are written already.

    Args:
        domain_folder: folder with the domain's tables.
        features: modality -> (N, F); an all-zero row = the item has none.
        settings: how the features were made, for the manifest.
    """
    folder = domain_folder / FEATURES
    folder.mkdir()
    counts = {}
    for modality, values in features.items():
        present = values.any(axis=1)
        np.save(folder / f"{modality}.npy", values[present])
        np.save(folder / f"{modality}.item_ids.npy", np.flatnonzero(present) + 1)
        counts[modality] = {"items": int(present.sum()), "width": values.shape[1]}
    facts = {"counts": counts, "settings": settings, "items_sha256": sha256(domain_folder / ITEMS)}
    write_manifest(folder, facts)


def read_features(
    domain_folder: Path, modalities: list[str], *, num_items: int
) -> dict[str, ModalityFeatures]:
    """The features of the modalities asked for, checked.

    Raises:
        FileNotFoundError: the folder or a file of it is missing.
        ValueError: the folder does not match its manifest or its domain, a modality is not
            there, or a file has a wrong shape, an id out of range, NaN or Inf.
    """
    folder = domain_folder / FEATURES
    remedy = prepare_remedy(domain_folder.name)
    manifest = read_manifest(folder, facts=["counts", "items_sha256"], files=[], remedy=remedy)
    if manifest["items_sha256"] != sha256(domain_folder / ITEMS):
        raise ValueError(f"{folder} was made for another {ITEMS} than the one beside it; {remedy}")
    features = {}
    for modality in modalities:
        if modality not in manifest["counts"]:
            known = ", ".join(manifest["counts"]) or "none"
            raise ValueError(
                f"{folder} has no features of modality {modality!r}, it has: {known}; "
                "choose other inputs=... or prepare the domain with this modality"
            )
        features[modality] = _read_modality(
            folder,
            modality,
            num_items=num_items,
            width=manifest["counts"][modality]["width"],
            remedy=remedy,
        )
    return features


def _read_modality(
    folder: Path, modality: str, *, num_items: int, width: int, remedy: str
) -> ModalityFeatures:
    path = folder / f"{modality}.npy"
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    item_ids = np.load(folder / f"{modality}.item_ids.npy", allow_pickle=False)
    if values.ndim != 2 or len(values) != len(item_ids):
        raise ValueError(
            f"{path} has shape {values.shape}, expected {len(item_ids)} rows as in "
            f"{modality}.item_ids.npy; {remedy}"
        )
    if values.shape[1] != width:
        raise ValueError(f"{path} has width {values.shape[1]}, its manifest says {width}; {remedy}")
    if len(item_ids) and (item_ids.min() < 1 or item_ids.max() > num_items):
        raise ValueError(
            f"{folder / f'{modality}.item_ids.npy'} holds ids {item_ids.min()}..{item_ids.max()}, "
            f"expected 1..{num_items}; {remedy}"
        )
    for start in range(0, len(values), _ROWS_AT_ONCE):
        bad = np.flatnonzero(~np.isfinite(values[start : start + _ROWS_AT_ONCE]).all(axis=1))
        if len(bad):
            raise ValueError(
                f"{path}: row {start + bad[0]} holds NaN or Inf, expected finite numbers; {remedy}"
            )
    return ModalityFeatures(item_ids, values)
