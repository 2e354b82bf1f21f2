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

from missrec.data.manifest import FolderError, read_manifest, write_manifest
from missrec.features.quantization import CodebookArrays, OptimizedProductQuantizer
from missrec.features.table import FeatureTable
from missrec.files import recover_folder, replace_folder
from missrec.types import Catalogue, InputsError

_CODES = "codes.npy"
_CODEBOOKS = ("rotation.npy", "centroids.npy")
_ITEMS_AT_ONCE = 16_384

_log = logging.getLogger(__name__)


class ItemCodes(NamedTuple):
    """The codes of all items of a run.

    Attributes:
        codewords: (N + 1, G) uint8, below `num_used`; zeros where an item has none.
        present: (N + 1, G) bool, True = the item has this codeword.
        num_used: (G,) int64 codewords of each codebook that were learned, at most W.
        codebooks: of each modality, what the codes are of.
    """

    codewords: Tensor
    present: Tensor
    num_used: Tensor
    codebooks: tuple[CodebookArrays, ...] = ()


class _Made(NamedTuple):
    """(P, G / M) uint8 codes of one modality, and what they are of."""

    codes: np.ndarray
    codebooks: CodebookArrays


class _Items(NamedTuple):
    """The items to code by one modality.

    Attributes:
        features: of all modalities.
        modality: which of them.
        coded: (P,) items that have it.
        known: those of them that the codebooks are learned from.
    """

    features: FeatureTable
    modality: int
    coded: Tensor
    known: Tensor

    def parts(self) -> Iterator[np.ndarray]:
        """(P, F) features of the items to code, some at a time."""
        for item_ids in torch.split(self.coded, _ITEMS_AT_ONCE):
            yield self.features.lookup(self.modality, item_ids).numpy()


class ItemCoding:
    """Codes of the items of a run by quantisation of their features.

    Each modality has codebooks of its own, one modality's behind the other's.

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
    def num_codewords(self) -> int:
        """W."""
        return self._quantizer.num_codewords

    def __call__(self, catalogue: Catalogue) -> ItemCodes:
        """The codes of the items, read if they are kept already.

        Raises:
            InputsError: no modality is in use.
            ValueError: fewer than two of the items that occur in training
                have it.
        """
        features = catalogue.features
        if not features.modalities:
            raise InputsError("codes are made of features, and the inputs are ids alone")
        exists = features.present(torch.arange(features.num_items + 1))  # (M, N + 1)
        codewords, num_used, codebooks = [], [], []
        for modality, present in enumerate(exists):
            items = _Items(
                features,
                modality,
                coded=present.nonzero().squeeze(1),
                known=(present & (catalogue.train_counts > 0)).nonzero().squeeze(1),
            )
            codes = torch.zeros(len(present), self._quantizer.num_codebooks, dtype=torch.uint8)
            made = self._codes(items)
            codes[items.coded] = torch.from_numpy(made.codes)
            codewords.append(codes)
            codebooks.append(made.codebooks)
            num_used.append(1 << self._quantizer.num_bits(len(items.known)))
        num_codebooks = self._quantizer.num_codebooks
        return ItemCodes(
            torch.cat(codewords, dim=1),
            exists.repeat_interleave(num_codebooks, dim=0).T.contiguous(),
            torch.tensor(num_used).repeat_interleave(num_codebooks),
            tuple(codebooks),
        )

    def _codes(self, items: _Items) -> _Made:
        if self._cache_dir is None:
            return self._make(items)
        facts = self._facts(items)
        content = json.dumps(facts, sort_keys=True).encode()
        folder = self._cache_dir / hashlib.sha256(content).hexdigest()[:16]
        try:
            self._cache_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # such as of a run that another machine made
            _log.warning("item codes are not kept: %s", error)
            return self._make(items)
        # Of the processes that need the same codes, one makes them and the others wait.
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            made = _read(folder, facts)
            if made is None:
                made = self._make(items)
                with replace_folder(folder) as draft:
                    np.save(draft / _CODES, made.codes)
                    for file, values in zip(_CODEBOOKS, made.codebooks, strict=True):
                        np.save(draft / file, values.numpy())
                    write_manifest(draft, facts)
        return made

    def _make(self, items: _Items) -> _Made:
        _log.info(
            "item codes: learning %s codebooks of %s codewords from the %ss of %s items, once",
            self._quantizer.num_codebooks,
            1 << self._quantizer.num_bits(len(items.known)),
            items.features.modalities[items.modality],
            f"{len(items.known):,}",
        )
        sample = self._quantizer.sample(items.known)
        codebooks = self._quantizer.learn(items.features.lookup(items.modality, sample).numpy())
        codes = np.concatenate([codebooks(part) for part in items.parts()])
        return _Made(codes, codebooks.arrays)

    def _facts(self, items: _Items) -> dict[str, Any]:
        """All that the codes depend on."""
        import faiss

        digest = hashlib.sha256()
        for values in (items.coded.numpy(), items.known.numpy(), *items.parts()):
            digest.update(values.tobytes())
        return {
            "features_sha256": digest.hexdigest(),
            "quantizer": self._quantizer.settings,
            "faiss": faiss.__version__,
            "threads": 1,  # those of before, of any number, are made again
        }


def _read(folder: Path, facts: dict[str, Any]) -> _Made | None:
    """The codes that are kept; None where there are none, or they are not what was kept.

    Those of before have no codebooks beside them and are made again, which gives the same.
    """
    recover_folder(folder)
    if not folder.is_dir() or not all((folder / file).is_file() for file in _CODEBOOKS):
        return None
    try:
        manifest = read_manifest(folder, facts=list(facts), files=[_CODES, *_CODEBOOKS])
    except FolderError as error:
        _log.warning("%s; the item codes are made again", error)
        return None
    if any(manifest[name] != fact for name, fact in facts.items()):
        _log.warning("%s was made of other features; the item codes are made again", folder)
        return None
    codes, *codebooks = (
        np.load(folder / file, allow_pickle=False) for file in (_CODES, *_CODEBOOKS)
    )
    return _Made(codes, CodebookArrays(*map(torch.from_numpy, codebooks)))


class CodesOfState:
    """In the place of `ItemCoding` where the codes come with the state of the model: room for them.

    Nothing is learned, so the features need not be those that the codes were made of.
    """

    def __init__(self, *, num_codebooks: int, num_codewords: int) -> None:
        """Takes the sizes: G / M codebooks of each modality, W codewords in each."""
        self.num_codewords = num_codewords
        self._num_codebooks = num_codebooks

    def __call__(self, catalogue: Catalogue) -> ItemCodes:
        """Codes of no item, and codebooks that take the sizes of those in the state."""
        num_modalities = catalogue.features.num_modalities
        num_codebooks = self._num_codebooks * num_modalities
        shape = (catalogue.num_items + 1, num_codebooks)
        return ItemCodes(
            torch.zeros(shape, dtype=torch.uint8),
            torch.zeros(shape, dtype=torch.bool),
            torch.full((num_codebooks,), self.num_codewords),
            (CodebookArrays(torch.zeros(0), torch.zeros(0)),) * num_modalities,
        )
