"""Discrete codes of the items of a run, made of their features once and kept."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from missrec.data.manifest import read_manifest, replace_folder, write_manifest
from missrec.features.quantization import OptimizedProductQuantizer
from missrec.features.table import FeatureTable
from missrec.types import Catalogue

_CODES = "codes.npy"
_ITEMS_AT_ONCE = 16_384

_log = logging.getLogger(__name__)


class ItemCodes(NamedTuple):
    """The codes of all items of a run.

    Attributes:
        codewords: (N + 1, G) uint8 in 0..num_used - 1; zeros where an item has no feature.
        present: (N + 1,) bool, True = the item has codes.
        num_used: codewords of each codebook that were learned, at most W.
    """

    codewords: Tensor
    present: Tensor
    num_used: int


class ItemCoding:
    """Codes of the items of a run by quantisation of the features of one modality.

    The codebooks are learned on the items that occur in the training sequences, of all domains of
    the run together, as VQ-Rec's public code does: each target of a transfer has its own.

    The codes are kept in `<cache_dir>/<digest>`, where the digest is that of the features, the
    settings and FAISS's version: the same again are read, anything else is another folder, and
    what does not match its manifest is made again.
    """

    def __init__(self, *, quantizer: OptimizedProductQuantizer, cache_dir: str | None) -> None:
        """Keeps the parts.

        Args:
            quantizer: what learns the codebooks.
            cache_dir: where codes are kept; None keeps none.
        """
        self._quantizer = quantizer
        self._cache_dir = None if cache_dir is None else Path(cache_dir)

    @property
    def num_codebooks(self) -> int:
        """G."""
        return self._quantizer.num_codebooks

    @property
    def num_codewords(self) -> int:
        """W."""
        return self._quantizer.num_codewords

    def __call__(self, catalogue: Catalogue) -> ItemCodes:
        """The codes of the items, read if they are kept already.

        Raises:
            ValueError: not one modality is in use, or fewer than two of the items that occur in
                training have it.
        """
        features = catalogue.features
        if features.num_modalities != 1:
            raise ValueError(
                f"codes are made of one modality, not {features.modalities or 'none'}; choose "
                "inputs=text or inputs=image"
            )
        present = features.present(torch.arange(features.num_items + 1))[0]
        coded = present.nonzero().squeeze(1)  # (P,)
        known = (present & (catalogue.train_counts > 0)).nonzero().squeeze(1)
        codewords = torch.zeros(len(present), self.num_codebooks, dtype=torch.uint8)
        codewords[coded] = torch.from_numpy(self._codes(features, coded, known))
        return ItemCodes(codewords, present, 1 << self._quantizer.num_bits(len(known)))

    def _codes(self, features: FeatureTable, coded: Tensor, known: Tensor) -> np.ndarray:
        """(P, G) uint8 codes of the items `coded` from what is learned on the items `known`."""
        if self._cache_dir is None:
            return self._make(features, coded, known)
        facts = self._facts(features, coded, known)
        content = json.dumps(facts, sort_keys=True).encode()
        folder = self._cache_dir / hashlib.sha256(content).hexdigest()[:16]
        try:
            self._cache_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # such as of a run that another machine made
            _log.warning("item codes are not kept: %s", error)
            return self._make(features, coded, known)
        # Of the processes that need the same codes, one makes them and the others wait.
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            codes = _read(folder, facts)
            if codes is None:
                codes = self._make(features, coded, known)
                with replace_folder(folder) as draft:
                    np.save(draft / _CODES, codes)
                    write_manifest(draft, facts)
        return codes

    def _make(self, features: FeatureTable, coded: Tensor, known: Tensor) -> np.ndarray:
        _log.info(
            "item codes: learning %s codebooks of %s codewords from %s items, once",
            self.num_codebooks,
            1 << self._quantizer.num_bits(len(known)),
            f"{len(known):,}",
        )
        vectors = features.lookup(0, self._quantizer.sample(known)).numpy()
        codebooks = self._quantizer.learn(vectors)
        return np.concatenate([codebooks(part) for part in _parts(features, coded)])

    def _facts(self, features: FeatureTable, coded: Tensor, known: Tensor) -> dict[str, Any]:
        """All that the codes depend on."""
        import faiss

        digest = hashlib.sha256()
        for values in (coded.numpy(), known.numpy(), *_parts(features, coded)):
            digest.update(values.tobytes())
        return {
            "features_sha256": digest.hexdigest(),
            "quantizer": self._quantizer.settings,
            "faiss": faiss.__version__,
        }


def _read(folder: Path, facts: dict[str, Any]) -> np.ndarray | None:
    """The codes that are kept; None where there are none, or they are not what was kept."""
    if not folder.is_dir():
        return None
    try:
        manifest = read_manifest(
            folder, facts=list(facts), files=[_CODES], remedy="the item codes are made again"
        )
    except (FileNotFoundError, ValueError) as error:
        _log.warning("%s", error)
        return None
    if any(manifest[name] != fact for name, fact in facts.items()):
        _log.warning("%s was made of other features; the item codes are made again", folder)
        return None
    codes: np.ndarray = np.load(folder / _CODES, allow_pickle=False)
    return codes


def _parts(features: FeatureTable, item_ids: Tensor) -> Iterator[np.ndarray]:
    """(P, F) features of the items, some at a time."""
    for ids in torch.split(item_ids, _ITEMS_AT_ONCE):
        yield features.lookup(0, ids).numpy()
