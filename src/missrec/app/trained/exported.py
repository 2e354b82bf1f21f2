"""An exported model: one folder that loads anywhere, without the data it was trained on.

    config.json          what the model is built of; no path of the machine that trained it
    model.safetensors    its weights and buffers
    items.parquet        number, key, title and training count of each item
    features/            the raw features that the model reads, as in a domain folder
    metrics.json         what was measured
    manifest.json        the checksums of all these
    README.md            the model card, which may be edited

Loading one executes nothing: `config.json` names classes of this project alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from missrec.app.model import build
from missrec.data.domain import ITEMS
from missrec.data.manifest import MANIFEST, FolderError, read_manifest
from missrec.features.store import FEATURES, read_features
from missrec.features.table import FeatureTable
from missrec.files import sha256
from missrec.runs.format import current
from missrec.runs.trust import refuse_strangers
from missrec.types import Catalogue, DomainSpan, TrainSequences

CONFIG, WEIGHTS, METRICS, CARD = "config.json", "model.safetensors", "metrics.json", "README.md"
KIND = "missrec model"
"""What its manifest says a folder is."""

COLUMNS = pl.Schema(
    {
        "item_id": pl.Int64,
        "domain": pl.String,
        "item_key": pl.String,
        "title": pl.String,
        "train_count": pl.Int64,
    }
)
"""Of `items.parquet`."""

_FACTS = ("kind", "features_sha256")


class ExportError(ValueError):
    """A folder is no exported model, or not as it was exported."""


class ExportedModel(NamedTuple):
    """What an exported folder holds, ready to use.

    Attributes:
        model: in evaluation mode, on the CPU.
        items: see `COLUMNS`; item 1..N, in order.
        spans: the items of each domain.
        max_seq_len: the longest history that the model reads.
    """

    model: nn.Module
    items: pl.DataFrame
    spans: list[DomainSpan]
    max_seq_len: int


def is_exported(folder: Path) -> bool:
    """Whether a folder was exported, rather than left by a training run."""
    return (folder / CONFIG).is_file() and (folder / MANIFEST).is_file()


def refuse_exported(folder: Path, *, name: str) -> None:
    """Refuses an exported model in the place of a run: it has no data and nothing to train on.

    Args:
        folder: that a setting names.
        name: of the setting.

    Raises:
        ValueError: the folder is an exported model.
    """
    if is_exported(folder):
        raise ValueError(
            f"{folder} is an exported model; {name} must name the folder of the training run it "
            "was made of"
        )


def read_exported(folder: Path, *, trust: bool = False) -> ExportedModel:
    """The model of an exported folder.

    Args:
        folder: that `missrec export` wrote.
        trust: build what the config names, even code that is none of this project's.

    Raises:
        FileNotFoundError: there is no such folder.
        ExportError: a file is missing, damaged or does not fit the others.
        UntrustedError: the config names code that is none of this project's.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing")
    try:
        manifest = read_manifest(folder, facts=_FACTS, files=[CONFIG, WEIGHTS, ITEMS])
        if manifest["kind"] != KIND:
            raise ExportError(f"{folder} holds a {manifest['kind']}, expected a {KIND}")
        if manifest["features_sha256"] != _features_sum(folder):
            raise ExportError(f"{folder / FEATURES} is not what was exported")
        config = _read_config(folder / CONFIG)
        items = _read_items(folder / ITEMS)
        spans = _spans(items)
        catalogue = _catalogue(folder, items, _modalities(config))
    except FolderError as error:
        raise ExportError(str(error)) from error
    if not trust:
        refuse_strangers(config, where=str(folder / CONFIG), built=["model"])
    max_seq_len = config.get("max_seq_len")
    if isinstance(max_seq_len, bool) or not isinstance(max_seq_len, int) or max_seq_len < 1:
        raise ExportError(f"{folder / CONFIG}: max_seq_len ({max_seq_len}) must be a whole number")
    model = _model(folder, config, catalogue)
    return ExportedModel(model.eval(), items, spans, max_seq_len)


def _features_sum(folder: Path) -> str | None:
    path = folder / FEATURES / MANIFEST
    return sha256(path) if path.is_file() else None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, dict) and isinstance(config.get("model"), dict):
            return current(config)
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path} cannot be read: {error}") from error
    raise ExportError(f"{path} describes no model")


def _modalities(config: Mapping[str, Any]) -> list[str]:
    found = config.get("modalities")
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ExportError(f"{CONFIG}: modalities ({found}) must be a list of names")
    return found


def _read_items(path: Path) -> pl.DataFrame:
    try:
        items = pl.read_parquet(path, columns=list(COLUMNS)).cast(COLUMNS)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ExportError(f"{path} cannot be read: {error}") from error
    expected = pl.int_range(1, len(items) + 1, eager=True)
    if items.null_count().sum_horizontal().item() or not items["item_id"].equals(expected):
        raise ExportError(f"{path} must hold the items 1..{len(items)} in order, and no nulls")
    return items


def _catalogue(folder: Path, items: pl.DataFrame, modalities: list[str]) -> Catalogue:
    """What a model may know of its items; of the training sequences nothing is exported."""
    num_items = len(items)
    features = read_features(folder, modalities, num_items=num_items)
    counts = torch.tensor([0, *items["train_count"].to_list()])
    nobody = torch.zeros(0, dtype=torch.int64)
    return Catalogue(
        num_items=num_items,
        train_counts=counts,
        train_sequences=TrainSequences(nobody.int(), nobody, nobody),
        features=FeatureTable([features], num_items=[num_items], resident_bytes=1 << 33),
    )


def _model(folder: Path, config: Mapping[str, Any], catalogue: Catalogue) -> nn.Module:
    try:
        model: nn.Module = build(config, "model", catalogue=catalogue)
    except Exception as error:  # its sizes and settings come from a file
        reason = " ".join(str(error).split())
        raise ExportError(f"{folder / CONFIG}: the model cannot be built: {reason}") from error
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"{folder / WEIGHTS} cannot be loaded: {reason}") from error
    return model


def _spans(items: pl.DataFrame) -> list[DomainSpan]:
    by_domain = items.group_by("domain", maintain_order=True)
    ends = by_domain.agg(pl.col("item_id").first(), pl.col("item_id").last().alias("last"))
    spans = [DomainSpan(*row) for row in ends.iter_rows()]
    if sum(span.last_item - span.first_item + 1 for span in spans) != len(items):
        raise ExportError(f"{ITEMS} must hold the items of each domain side by side")
    return spans
