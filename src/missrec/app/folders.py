"""`python src/prepare.py verify=…` and `export=… to=…`: what a domain folder is, and out again."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from missrec.app.command_line.project import conf_dir
from missrec.app.prepare import known_splitters
from missrec.data.domain import read_prepared
from missrec.data.fingerprint import fingerprint
from missrec.data.manifest import read_manifest
from missrec.data.sources.export import export_domain
from missrec.features.store import FEATURES, read_features
from missrec.files import replace_folder, sha256
from missrec.report.formats.preparation import print_verification

_log = logging.getLogger(__name__)


def verify(folder: Path, *, root_dir: Path) -> str | None:
    """Checks a domain folder against its manifests and says which known set it is.

    Returns:
        The key of the set in `conf/known_domains.yaml`; None if it is none of them.

    Raises:
        FileNotFoundError, ValueError: the folder is broken.
    """
    found = _facts(folder, root_dir)
    known: Any = OmegaConf.to_container(OmegaConf.load(conf_dir(root_dir) / "known_domains.yaml"))
    agreeing = {
        name: sum(found.get(fact) == value for fact, value in entry["facts"].items())
        for name, entry in known.items()
    }
    nearest = max(agreeing, key=lambda name: agreeing[name])
    what, facts = known[nearest]["what"], known[nearest]["facts"]
    is_known = agreeing[nearest] == len(facts)
    if is_known:
        title = f"{folder} is whole, and is {what}"
    elif agreeing[nearest]:
        title = f"{folder} is whole, and no known set; nearest is {what}"
    else:
        title, facts = f"{folder} is whole, and has nothing in common with a known set", {}
    print_verification(title, {**found, **{fact: found.get(fact) for fact in facts}}, facts)
    return nearest if is_known else None


def export(folder: Path, *, to: str | None) -> None:
    """Writes a domain folder as released files into a new folder.

    Raises:
        FileNotFoundError, ValueError: the folder is broken, or there is no new folder to write to.
    """
    if to is None or Path(to).exists():
        raise ValueError(f"to ({to}) must name a new folder, such as to=logs/released")
    prepared = read_prepared(folder)
    num_items = len(prepared.item_keys)
    features = {}
    for modality, stored in read_features(folder, _modalities(folder), num_items=num_items).items():
        features[modality] = np.zeros((num_items, stored.values.shape[1]), dtype=np.float32)
        features[modality][stored.item_ids - 1] = stored.values
    with replace_folder(Path(to)) as draft:
        export_domain(draft, replace(prepared, features=features))
    _log.info("released files: %s", to)


def _facts(folder: Path, root_dir: Path) -> dict[str, int | str]:
    """Counts and hashes of a folder that matches its manifests."""
    prepared = read_prepared(folder)
    hashes = fingerprint(prepared, known_splitters(root_dir))
    modalities = _modalities(folder)
    read_features(folder, modalities, num_items=len(prepared.item_keys))
    return {
        "users": len(prepared.user_keys),
        "items": len(prepared.item_keys),
        "interactions": len(prepared.items),
        "who took what": hashes.interactions,
        **{f"split {name}": digest for name, digest in hashes.splits.items()},
        **{f"features {name}": sha256(folder / FEATURES / f"{name}.npy") for name in modalities},
    }


def _modalities(folder: Path) -> list[str]:
    """What the folder has features of."""
    manifest = read_manifest(folder / FEATURES, facts=["counts"], files=[])
    return list(manifest["counts"])
