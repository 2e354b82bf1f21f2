"""`python src/evaluate.py`: what a run's checkpoint does, user group by user group."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from missrec.app.build import Experiment, build_experiment
from missrec.app.same_data import check_run
from missrec.app.train import quiet_lightning, split_metrics
from missrec.app.transfer import best_checkpoint
from missrec.files import write_json
from missrec.metrics.buckets import popularity_buckets
from missrec.report.figures.buckets import popularity_figure
from missrec.report.formats.terminal import print_buckets, print_metrics
from missrec.runs.folder import METRICS, read_config
from missrec.runs.identity import ACCEPTED
from missrec.runs.ranks import save_ranks

_ROUNDING = 1e-6
"""Up to this share, figures of the same ranks may differ."""

_log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Ranks the users of a run's test split with its best checkpoint.

    Prints the metrics and the buckets of the paper's Figure 4, and writes
    `evaluation/{metrics.json,popularity_<domain>.png,ranks_<domain>.parquet}` into the run
    folder. What the run itself recorded is left as it is; a warning says where it differs.

    Returns:
        What `evaluation/metrics.json` holds.

    Raises:
        FileNotFoundError: no such run, or it has no checkpoint.
        ValueError: several runs are named, the data is not what the run was made on, or the
            checkpoint does not fit the run's config and data.
    """
    if not isinstance(cfg.run, str):
        raise ValueError("run: name one run folder; to compare several, add against=")
    quiet_lightning()
    run_dir = Path(cfg.run)
    run_cfg = read_run_config(run_dir, data_dir=Path(cfg.paths.data_dir))
    experiment = build_experiment(run_cfg)
    changed = check_run(run_dir, experiment.identity, changed_data=cfg.changed_data)
    torch.set_float32_matmul_precision(run_cfg.matmul_precision)
    trainer = Trainer(
        accelerator=cfg.accelerator,
        devices=1,
        precision=run_cfg.trainer.precision,
        logger=False,
        deterministic=True,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=str(run_dir),
    )
    checkpoint = best_checkpoint(run_dir) if experiment.module.learns else None
    _rank(experiment, trainer, checkpoint=checkpoint)
    metrics = experiment.module.metrics
    _say_differences(run_dir, metrics)
    print_metrics(run_cfg.names.run, {"test": split_metrics(metrics, "test")}, cfg.shown)

    folder = run_dir / "evaluation"
    folder.mkdir(exist_ok=True)
    report: dict[str, Any] = {"metrics": metrics, "buckets": {}, ACCEPTED: changed}
    for span, users in zip(
        experiment.datamodule.spans, experiment.module.target_ranks, strict=True
    ):
        buckets = popularity_buckets(
            users,
            experiment.catalogue.train_counts,
            edges=list(cfg.bucket_edges),
            cutoffs=list(run_cfg.metrics.cutoffs),
        )
        print_buckets(span.name, buckets, cfg.shown)
        popularity_figure(folder / f"popularity_{span.name}.png", buckets, title=span.name)
        save_ranks(folder / f"ranks_{span.name}.parquet", span, users)
        report["buckets"][span.name] = [bucket.as_row() for bucket in buckets]
    write_json(folder / "metrics.json", report)
    return report


def read_run_config(run_dir: Path, *, data_dir: Path) -> DictConfig:
    """The resolved config of a run, its domain folders looked for under `data_dir`.

    Raises:
        FileNotFoundError: the folder is no run folder.
    """
    path = run_dir / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; run must name the folder of a training run, such as "
            "run=logs/scratch/<run>"
        )
    saved = OmegaConf.create(read_config(run_dir))
    folders = [str(data_dir / Path(folder).name) for folder in saved.data.folders]
    moved = {"data": {"folders": folders}, "datamodule": {"folders": folders}}
    merged = OmegaConf.merge(saved, moved)
    assert isinstance(merged, DictConfig)
    return merged


def _rank(experiment: Experiment, trainer: Trainer, *, checkpoint: Path | None) -> None:
    try:
        trainer.test(
            experiment.module,
            datamodule=experiment.datamodule,
            ckpt_path=checkpoint,
            weights_only=True,
            verbose=False,
        )
    except RuntimeError as error:
        if checkpoint is None or not _is_load_error(error):
            raise
        raise ValueError(
            f"{checkpoint} cannot be loaded: {error}; the file is damaged, or the run's config or "
            "data has changed since"
        ) from error


def _say_differences(run_dir: Path, found: Mapping[str, float]) -> None:
    """Warns of figures that are not those of the run's own `metrics.json`, where it has one."""
    try:
        recorded = json.loads((run_dir / METRICS).read_text(encoding="utf-8"))
        both = {key: float(recorded[key]) for key in found if key in recorded}
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError) as error:
        _log.warning("%s cannot be read: %s", run_dir / METRICS, error)
        return
    other = [
        key
        for key, value in both.items()
        if not math.isclose(value, found[key], rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    ]
    if other:
        _log.warning(
            "%s of %s figures are not those of %s, such as %s: %.6g, not %.6g",
            len(other),
            len(both),
            run_dir / METRICS,
            other[0],
            found[other[0]],
            both[other[0]],
        )


def _is_load_error(error: RuntimeError) -> bool:
    return "state_dict" in str(error) or "PytorchStreamReader" in str(error)
