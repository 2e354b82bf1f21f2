"""The features of one modality of one domain, doing only what is missing."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from pytorch_lightning import Callback, Trainer

from missrec.features.checks import check_truths
from missrec.features.encoders.encoder import ENCODED, NO_KNOWN_WORD, Encoder
from missrec.features.encoding import (
    EncodingModule,
    EncodingProgress,
    InputBatches,
    ShardWriter,
)
from missrec.features.inputs import A_PATH, OK
from missrec.features.shards import join_shards, read_finished, read_shards
from missrec.features.store import ModalityFeatures, features_manifest, replace_modality

WORK = ".extract"
DTYPES = ("float16", "float32")
_FEW = 0.03
"""Share of the texts that may have no known word before a warning says so."""

_log = logging.getLogger(__name__)


class Extraction(NamedTuple):
    """What one extraction did.

    Attributes:
        num_items: N.
        num_with: items that have features of the modality now.
        num_encoded: inputs encoded by this run; items may share one.
        seconds: that the encoding took, loading included.
        outcomes: items by what became of their input.
    """

    num_items: int
    num_with: int
    num_encoded: int
    seconds: float
    outcomes: dict[str, int]


class Extractor:
    """Brings the features of domain folders up to date with one encoder.

    Inputs are known by their sha256. What `features/` or the shards of a killed run hold of them
    under the same description of the encoder is not encoded again, and the same text or image of
    two items is encoded once.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        make_trainer: Callable[[list[Callback]], Trainer],
        precision: str,
        dtype: str,
        batch_size: int,
        num_workers: int,
        show_progress: bool,
    ) -> None:
        """Keeps the parts.

        Args:
            encoder: what encodes.
            make_trainer: called with callbacks for each modality that has something to encode.
            precision: what the trainer computes in; part of the description.
            dtype: what is stored, `float16` or `float32`.
            batch_size: inputs a batch, and a shard.
            num_workers: processes that load inputs.
            show_progress: draw a progress bar.

        Raises:
            ValueError: another dtype, or show_progress neither True nor False.
        """
        check_truths(show_progress=show_progress)
        if dtype not in DTYPES:
            raise ValueError(f"dtype ({dtype}) must be float16 or float32")
        self._encoder = encoder
        self._make_trainer = make_trainer
        self._stored_as = {"computed_in": str(precision), "stored_as": dtype}
        self._dtype = dtype
        self._batch_size = batch_size
        self._num_workers = num_workers
        self._show_progress = show_progress

    def extract(
        self,
        domain_folder: Path,
        modality: str,
        inputs: pl.DataFrame,
        *,
        kept_as: str | None = None,
    ) -> Extraction:
        """Encodes what is missing and writes the modality into `features/`.

        Where no item has the modality nothing is written: features that are there stay. So do those
        of items whose input is `a_path`, which is not read here. Where these were made with
        another encoder, all that are there stay unless there would be as many again.

        Args:
            domain_folder: folder with the domain's tables.
            modality: one of the encoder's.
            inputs: of all items, as `INPUT_SCHEMA`.
            kept_as: name of the features where it is not the modality's, such as of a second view.
        """
        name = kept_as or modality
        given = inputs.filter(outcome=OK).sort("item_id")
        description = dict(self._encoder.description(modality)) | self._stored_as
        fingerprint = _fingerprint(description)
        finished = read_finished(domain_folder, name, fingerprint=fingerprint)
        unread = inputs.filter(outcome=A_PATH)
        num_there = _num_there(domain_folder, name)
        if given.is_empty() or (len(unread) and finished is None and num_there > len(given)):
            _tell_of_unread(domain_folder.name, name, len(unread), num_there)
            return Extraction(len(inputs), num_there, 0, 0.0, _count(inputs["outcome"]))
        if finished is not None:
            there = finished[0].select("item_id", "sha256")
            read_before = unread.drop("sha256").join(there, on="item_id").select(given.columns)
            given = pl.concat([given, read_before]).sort("item_id")
        work = domain_folder / WORK / f"{name}-{fingerprint[:8]}"
        _drop_other_work(work, name)
        done = [finished[1]] if finished else []
        known = [digest for shard in [*done, *read_shards(work)] for digest in shard.digests]
        missing = given.unique("sha256", keep="first", maintain_order=True)
        missing = missing.filter(~pl.col("sha256").is_in(known))
        start = time.perf_counter()
        if len(missing):
            self._encode(missing, modality, work, title=f"{domain_folder.name}: {name}s")
        seconds = time.perf_counter() - start
        shard = join_shards([*done, *read_shards(work)], given["sha256"])
        table = given.select("item_id", "sha256", outcome=pl.Series(shard.outcomes))
        encoded = np.isin(shard.outcomes, ENCODED)
        if finished is None or not finished[0].equals(table):
            item_ids = given["item_id"].to_numpy().astype(np.int64)[encoded]
            replace_modality(
                domain_folder,
                name,
                ModalityFeatures(item_ids, shard.values[encoded]),
                inputs=table,
                settings={**description, "fingerprint": fingerprint},
            )
        shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):  # it is not there, or another modality's work is in it
            work.parent.rmdir()
        left_out = inputs.join(given, on="item_id", how="anti")["outcome"]
        outcomes = _count(pl.concat([table["outcome"], left_out]))
        _warn_of_unknown(domain_folder.name, outcomes.get(NO_KNOWN_WORD, 0), len(given))
        return Extraction(len(inputs), int(encoded.sum()), len(missing), seconds, outcomes)

    def _encode(self, missing: pl.DataFrame, modality: str, work: Path, *, title: str) -> None:
        work.mkdir(parents=True, exist_ok=True)
        callbacks: list[Callback] = [ShardWriter(work, dtype=self._dtype)]
        if self._show_progress:
            callbacks.append(EncodingProgress(title, num_items=len(missing)))
        batches = InputBatches(
            missing, encoder=self._encoder, modality=modality, batch_size=self._batch_size
        )
        module = EncodingModule(
            encoder=self._encoder,
            modality=modality,
            batches=batches,
            num_workers=self._num_workers,
        )
        self._make_trainer(callbacks).predict(module, return_predictions=False)


def _count(outcomes: pl.Series) -> dict[str, int]:
    return dict(outcomes.value_counts().sort(outcomes.name).iter_rows())


def _num_there(domain_folder: Path, name: str) -> int:
    """How many items have features of a modality."""
    try:
        return int(features_manifest(domain_folder)["counts"].get(name, {}).get("items", 0))
    except (FileNotFoundError, ValueError):
        return 0


def _tell_of_unread(domain: str, name: str, num_unread: int, num_there: int) -> None:
    if num_unread and num_there:
        _log.warning(
            "%s: the %s features of %s items stay as they are: %s items name files, which are not "
            "read here",
            domain,
            name,
            f"{num_there:,}",
            f"{num_unread:,}",
        )


def _warn_of_unknown(domain: str, num_unknown: int, num_texts: int) -> None:
    if num_unknown > _FEW * num_texts:
        _log.warning(
            "%s: %s of %s texts (%.1f %%) have no word that the encoder knows, and so no features",
            domain,
            f"{num_unknown:,}",
            f"{num_texts:,}",
            100 * num_unknown / num_texts,
        )


def _fingerprint(description: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _drop_other_work(work: Path, name: str) -> None:
    """Deletes what was encoded with another encoder or other settings and never finished."""
    for other in work.parent.glob(f"{name}-*"):
        if other != work:
            _log.warning(
                "%s: the encoder or its settings changed; what an unfinished extraction had "
                "encoded is dropped",
                other,
            )
            shutil.rmtree(other)
