"""Raw features on disk: per modality, only the rows that exist, and which items they belong to."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from missrec.data.domain import ITEMS
from missrec.data.manifest import (
    MANIFEST,
    FolderError,
    MissingFolderError,
    read_manifest,
    write_manifest,
)
from missrec.files import recover_folder, replace_folder, sha256

FEATURES = "features"
TEXT, TEXT_VIEW = "text", "text_view"
"""What `features/` calls the texts, and their second view, which is encoded as they are."""
ELSEWHERE = "made elsewhere"
FILE = "file"
"""In the settings of features that were made elsewhere: the file that they are from."""
_ROWS_AT_ONCE = 65_536
_log = logging.getLogger(__name__)


class MissingFeaturesError(FolderError):
    """A domain has no features of a modality that is asked for, or none that go with the others.

    Attributes:
        modality: which.
    """

    def __init__(self, message: str, folder: Path, modality: str) -> None:
        """Says what is wrong, with which folder and which modality."""
        super().__init__(message, folder)
        self.args = (message, folder, modality)
        self.modality = modality


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
        rows = ModalityFeatures(np.flatnonzero(present) + 1, values[present])
        counts[modality] = _save_modality(folder, modality, rows)
    _write_manifest(domain_folder, folder, counts, dict.fromkeys(features, settings))


def replace_modality(
    domain_folder: Path,
    modality: str,
    features: ModalityFeatures,
    *,
    inputs: pl.DataFrame | None,
    settings: dict[str, Any],
) -> None:
    """Puts the features of one modality in place of those there are; the others stay.

    Others that do not match their manifest, or belong to other items, do not stay.

    Args:
        domain_folder: folder with the domain's tables.
        modality: name of the modality.
        features: its rows.
        inputs: what was encoded, kept beside the rows as `<modality>.inputs.parquet`; None of
            features that were made elsewhere.
        settings: how the features were made, for the manifest.
    """
    counts: dict[str, Any] = {}
    made_with: dict[str, Any] = {}
    with replace_folder(domain_folder / FEATURES) as draft:
        kept = _manifest_to_keep(domain_folder)
        if kept is not None:
            counts, made_with = kept["counts"], kept["settings"]
            for name in kept["files"]:
                if not name.startswith(f"{modality}."):
                    shutil.copy2(domain_folder / FEATURES / name, draft)
        if inputs is not None:
            inputs.write_parquet(draft / inputs_file(modality))
        counts = counts | {modality: _save_modality(draft, modality, features)}
        _write_manifest(domain_folder, draft, counts, made_with | {modality: settings})


def inputs_file(modality: str) -> str:
    """Name of the file in `features/` that says what was encoded."""
    return f"{modality}.inputs.parquet"


def features_manifest(domain_folder: Path) -> dict[str, Any]:
    """The manifest of `features/`, checked against its files and the domain's items.

    Raises:
        MissingFolderError: the folder or a file of it is missing.
        FolderError: the folder does not match its manifest, or was made for other items.
    """
    folder = domain_folder / FEATURES
    recover_folder(folder)
    manifest = read_manifest(folder, facts=["counts", "settings", "items_sha256"], files=[])
    counts, settings = manifest["counts"], manifest["settings"]
    whole = isinstance(counts, dict) and isinstance(settings, dict)
    if not whole or any(
        not isinstance(count, dict) or not isinstance(count.get("width"), int)
        for count in counts.values()
    ):
        raise FolderError(f"{folder}: its manifest does not say what is there", folder)
    if manifest["items_sha256"] != sha256(domain_folder / ITEMS):
        raise FolderError(f"{folder} was made for another {ITEMS} than the one beside it", folder)
    return manifest


def read_features(
    domain_folder: Path, modalities: list[str], *, num_items: int
) -> dict[str, ModalityFeatures]:
    """The features of the modalities asked for, checked; of none, nothing is read.

    Raises:
        MissingFolderError: the folder or a file of it is missing.
        MissingFeaturesError: a modality is not there, or not as another one needs it.
        FolderError: the folder does not match its manifest or its domain, or a file has a wrong
            shape, an id out of range, NaN or Inf.
    """
    features: dict[str, ModalityFeatures] = {}
    if not modalities:
        return features
    folder = domain_folder / FEATURES
    manifest = features_manifest(domain_folder)
    for modality in modalities:
        if modality not in manifest["counts"]:
            known = ", ".join(manifest["counts"]) or "none"
            raise MissingFeaturesError(
                f"{folder} has no features of modality {modality!r}, it has: {known}",
                folder,
                modality,
            )
        features[modality] = _read_modality(
            folder,
            modality,
            num_items=num_items,
            width=manifest["counts"][modality]["width"],
        )
    encoders = [_encoder(manifest["settings"].get(name, {})) for name in (TEXT, TEXT_VIEW)]
    if {TEXT, TEXT_VIEW} <= features.keys() and encoders[0] != encoders[1]:
        raise MissingFeaturesError(
            f"{folder}: text and {TEXT_VIEW} were made with different settings", folder, TEXT_VIEW
        )
    return features


def features_identity(domain_folder: Path, modalities: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Modality -> digest of its values and of which items have them, and what encoded them.

    As the manifest says, which `read_features` checks: no feature is read here.

    Raises:
        MissingFolderError: there is no manifest.
        FolderError: it cannot be read, or knows no such features.
    """
    if not modalities:
        return {}
    folder = domain_folder / FEATURES
    path = folder / MANIFEST
    if not path.is_file():
        raise MissingFolderError(f"{path} is missing", folder)
    found = {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        for name in modalities:
            files = [manifest["files"][f"{name}{part}.npy"]["sha256"] for part in ("", ".item_ids")]
            values = hashlib.sha256("".join(files).encode()).hexdigest()
            found[name] = {"values": values, "encoder": _encoder(manifest["settings"][name])}
    except (ValueError, KeyError, TypeError) as error:
        raise FolderError(f"{path} says nothing of the features ({error!r})", folder) from error
    return found


def _encoder(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What encoded features; the file that they are from is told apart by its values."""
    return {key: value for key, value in settings.items() if key != FILE}


def _manifest_to_keep(domain_folder: Path) -> dict[str, Any] | None:
    if not (domain_folder / FEATURES).is_dir():
        return None
    try:
        return features_manifest(domain_folder)
    except (FileNotFoundError, ValueError) as error:
        _log.warning("no features that were there are kept: %s", error)
        return None


def _save_modality(folder: Path, modality: str, features: ModalityFeatures) -> dict[str, int]:
    """Writes the rows; returns what the manifest counts of them."""
    np.save(folder / f"{modality}.npy", features.values)
    np.save(folder / f"{modality}.item_ids.npy", features.item_ids)
    return {"items": len(features.item_ids), "width": features.values.shape[1]}


def _write_manifest(
    domain_folder: Path, folder: Path, counts: dict[str, Any], settings: dict[str, Any]
) -> None:
    facts = {"counts": counts, "settings": settings, "items_sha256": sha256(domain_folder / ITEMS)}
    write_manifest(folder, facts)


def _read_modality(folder: Path, modality: str, *, num_items: int, width: int) -> ModalityFeatures:
    path = folder / f"{modality}.npy"
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    item_ids = np.load(folder / f"{modality}.item_ids.npy", allow_pickle=False)
    if values.ndim != 2 or len(values) != len(item_ids):
        raise FolderError(
            f"{path} has shape {values.shape}, expected {len(item_ids)} rows as in "
            f"{modality}.item_ids.npy",
            folder,
        )
    if values.shape[1] != width:
        raise FolderError(f"{path} has width {values.shape[1]}, its manifest says {width}", folder)
    if len(item_ids) and (item_ids.min() < 1 or item_ids.max() > num_items):
        raise FolderError(
            f"{folder / f'{modality}.item_ids.npy'} holds ids {item_ids.min()}..{item_ids.max()}, "
            f"expected 1..{num_items}",
            folder,
        )
    for start in range(0, len(values), _ROWS_AT_ONCE):
        bad = np.flatnonzero(~np.isfinite(values[start : start + _ROWS_AT_ONCE]).all(axis=1))
        if len(bad):
            raise FolderError(
                f"{path}: row {start + bad[0]} holds NaN or Inf, expected finite numbers", folder
            )
    return ModalityFeatures(item_ids, values)
