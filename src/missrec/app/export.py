"""`python src/export.py`: a run as one folder that loads anywhere, see `trained/exported.py`."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from omegaconf import DictConfig
from safetensors.torch import save_file
from torch import Tensor, nn

from missrec.app.model import build_model, open_domains
from missrec.app.session import plain
from missrec.app.settings import RunSettings, accepts
from missrec.app.trained.exported import (
    CARD,
    COLUMNS,
    CONFIG,
    KIND,
    METRICS,
    WEIGHTS,
    ExportedModel,
    read_exported,
)
from missrec.app.trained.hub import push_folder
from missrec.app.trained.loading import load_weights
from missrec.app.trained.model_card import model_card
from missrec.app.trained.same_data import check_run
from missrec.app.trained.saved_run import read_saved_run
from missrec.data.domain import ITEMS, read_titles
from missrec.data.manifest import MANIFEST, write_manifest
from missrec.data.sources.settings import a_word, perhaps_a_word
from missrec.data.split_domains import SplitDomains
from missrec.features.checks import check_truths
from missrec.features.store import (
    FEATURES,
    ModalityFeatures,
    features_identity,
    read_features,
    replace_modality,
)
from missrec.files import replace_folder, sha256, write_json
from missrec.runs.folder import RunFolder
from missrec.runs.format import versioned
from missrec.types import SequenceBatch

FORMATS = ("safetensors", "onnx")
_ONNX = ("onnx", "onnxruntime", "onnxscript")
"""Packages that format=onnx needs, which are an extra."""
_BUILT = ("model", "datamodule.split")
"""Sections of a run's config that are built here."""
_TRIED_ITEMS = 64
"""Histories with which an export is tried: of one item each, the most popular."""
_TRIED_CANDIDATES = 4096

_log = logging.getLogger(__name__)


class ExportSettings(NamedTuple):
    """The settings of the command, see `conf/export.yaml`."""

    run: str
    to: str | None
    format: str
    push: str | None
    private: bool
    endpoint: str | None
    license: str | None
    changed_data: str
    trust: bool


def read_settings(cfg: DictConfig) -> tuple[ExportSettings, Path]:
    """The settings of the command, and where the domain folders are.

    Raises:
        ValueError: one has a value that it cannot have.
    """
    config = plain(cfg)
    words = {name: perhaps_a_word(name, config[name]) for name in ("to", "push")}
    given = {name: config[name] for name in ExportSettings._fields}
    settings = ExportSettings(**{**given, "run": a_word("run", config["run"]), **words})
    check_truths(trust=settings.trust, private=settings.private)
    if settings.format not in FORMATS:
        raise ValueError(f"format ({settings.format}) must be one of {', '.join(FORMATS)}")
    missing = [name for name in _ONNX if settings.format == "onnx" and not find_spec(name)]
    if missing:
        raise ValueError(
            f"format=onnx needs {', '.join(missing)}; install them with pip install 'missrec[onnx]'"
        )
    if settings.to is None and settings.push is None:
        raise ValueError("name a new folder, such as to=exported, or push=<owner>/<name>")
    return settings, Path(config["paths"]["data_dir"])


def export(cfg: DictConfig) -> None:
    """Writes the folder, and pushes it.

    Raises:
        FileNotFoundError: no such run, or its data or its checkpoint is missing.
        ValueError: `to` is not empty, or the run cannot be exported.
        OSError: the hub refuses.
    """
    settings, data_dir = read_settings(cfg)
    to = None if settings.to is None else Path(settings.to).expanduser().absolute()
    if to is not None and to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise ValueError(f"to ({settings.to}) is not empty; name a new folder")
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = Path(elsewhere) / "exported" if to is None else to
        with replace_folder(folder) as draft:
            write_export(draft, settings, data_dir=data_dir)
        if to is not None:
            _log.info("exported: %s", to)
        if settings.push is not None:
            address = push_folder(
                folder, settings.push, private=settings.private, endpoint=settings.endpoint
            )
            _log.info("pushed: %s", address)


def write_export(draft: Path, settings: ExportSettings, *, data_dir: Path) -> None:
    """Writes a run into an empty folder, and tries that it gives the scores of the run.

    Raises:
        FileNotFoundError, ValueError: see `export`.
    """
    source = RunFolder(Path(settings.run))
    run = read_saved_run(source, data_dir=data_dir, trust=settings.trust, built=_BUILT)
    domains = open_domains(run)
    built = build_model(run, domains)
    accept = accepts(settings.changed_data)
    check_run(source, built.identity, accept=accept, takes_new_items=False)
    load_weights(built.model, source)
    model = built.model.eval()
    config = _portable(run)
    write_json(draft / CONFIG, config)
    save_file(_state(model), draft / WEIGHTS, metadata={"format": "pt"})
    shutil.copymode(draft / CONFIG, draft / WEIGHTS)  # safetensors lets nobody else read
    items = _items(domains)
    items.write_parquet(draft / ITEMS)
    _write_features(draft, run, domains)
    metrics = source.read_metrics() if source.metrics.is_file() else {}
    write_json(draft / METRICS, metrics)
    features = draft / FEATURES / MANIFEST
    features_sum = sha256(features) if features.is_file() else None
    facts = {"kind": KIND, "features_sha256": features_sum, "counts": {"items": len(items)}}
    write_manifest(draft, facts)
    _check_same_scores(model, read_exported(draft, trust=settings.trust))
    has_onnx = settings.format == "onnx"
    if has_onnx:
        _export_onnx(model, draft, max_seq_len=config["max_seq_len"], num_items=len(items))
        write_manifest(draft, facts)
    # Behind the manifest: whoever has the folder may edit the card.
    card = model_card(run, items, metrics, license_name=settings.license, has_onnx=has_onnx)
    (draft / CARD).write_text(card, encoding="utf-8")


def _export_onnx(model: nn.Module, draft: Path, *, max_seq_len: int, num_items: int) -> None:
    from missrec.retrieval.onnx_export import export_onnx  # takes seconds, and is an extra

    _log.info("the graphs take a minute")
    export_onnx(model, draft, max_seq_len=max_seq_len, num_items=num_items)


def _portable(run: RunSettings) -> dict[str, Any]:
    """What the model is built of, without anything of the machine that trained it."""
    config = run.config
    return versioned(
        {
            "names": {key: config["names"][key] for key in ("model", "run")},
            "model": _without_places(config["model"]),
            "modalities": run.modalities,
            "transfer": run.transfer,
            "max_seq_len": config["datamodule"]["max_seq_len"],
        }
    )


def _without_places(value: Any) -> Any:
    """A config without paths, and with codes that come with the state in place of a coding."""
    if isinstance(value, list):
        return [_without_places(part) for part in value]
    if not isinstance(value, Mapping):
        return None if isinstance(value, str) and Path(value).is_absolute() else value
    if value.get("_target_") == "missrec.features.codes.ItemCoding":
        sizes = {key: value["quantizer"][key] for key in ("num_codebooks", "num_codewords")}
        return {"_target_": "missrec.features.codes.CodesOfState", **sizes}
    return {key: _without_places(part) for key, part in value.items()}


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Of tensors that share memory each has its own, as safetensors asks for."""
    return {name: value.detach().clone().contiguous() for name, value in model.state_dict().items()}


def _items(domains: SplitDomains) -> pl.DataFrame:
    titles = read_titles(domains.folders)
    counts = domains.train_counts[1:].numpy()
    ids = pl.int_range(1, len(titles) + 1, eager=True)
    columns = titles.with_columns(item_id=ids, train_count=pl.Series(counts))
    return columns.select(list(COLUMNS)).cast(COLUMNS)


def _write_features(draft: Path, run: RunSettings, domains: SplitDomains) -> None:
    """The features of all domains side by side, numbered as the items are."""
    modalities = run.modalities
    parts = [
        read_features(folder, modalities, num_items=span.last_item - span.first_item + 1)
        for folder, span in zip(domains.folders, domains.spans, strict=True)
    ]
    made = features_identity(domains.folders[0], modalities)
    for modality in modalities:
        joined = ModalityFeatures(
            np.concatenate(
                [
                    part[modality].item_ids + span.first_item - 1
                    for part, span in zip(parts, domains.spans, strict=True)
                ]
            ),
            np.concatenate([part[modality].values for part in parts]),
        )
        replace_modality(draft, modality, joined, inputs=None, settings=made[modality]["encoder"])


def _check_same_scores(model: nn.Module, exported: ExportedModel) -> None:
    """Refuses a model whose scores need more of its data than is exported.

    Raises:
        ValueError: the exported model does not score as the run does.
    """
    popular = exported.items.sort("train_count", "item_id", descending=[True, False])["item_id"]
    histories = torch.from_numpy(popular[:_TRIED_ITEMS].to_numpy().copy())[:, None]
    candidates = torch.from_numpy(popular[:_TRIED_CANDIDATES].sort().to_numpy().copy())
    nothing = torch.zeros(len(histories), dtype=torch.int64)
    batch = SequenceBatch(nothing, histories, nothing)
    with torch.no_grad():
        here, there = (
            each.score(each.encode(batch), each.candidates(candidates))  # type: ignore[operator]
            for each in (model, exported.model)
        )
    if not torch.equal(here, there):
        raise ValueError(
            f"{type(model).__name__} scores by more of its training data than its weights, its "
            "features and the counts of items, and so cannot be exported"
        )
