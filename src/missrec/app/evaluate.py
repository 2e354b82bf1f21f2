"""`python src/evaluate.py`: what a run's checkpoint does, user group by user group."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from pytorch_lightning import Trainer

from missrec.app.build import Experiment, build_experiment
from missrec.app.doubts import warn_of_parts
from missrec.app.same_data import check_run
from missrec.app.saved_run import read_saved_run
from missrec.app.session import plain
from missrec.app.settings import accepts
from missrec.features.checks import check_truths
from missrec.files import write_json
from missrec.metrics.buckets import popularity_buckets
from missrec.report.figures.buckets import popularity_figure
from missrec.report.formats.terminal import print_buckets, print_metrics, split_metrics
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.runs.identity import ACCEPTED
from missrec.runs.ranks import save_ranks
from missrec.training.saving import WholeCheckpoints
from missrec.training.silence import quiet_lightning

_ROUNDING = 1e-6
"""Up to this share, figures of the same ranks may differ."""

_log = logging.getLogger(__name__)


class EvaluateSettings(NamedTuple):
    """The settings of the command.

    Attributes:
        run: the run, or the seeds of a system to compare.
        against: the seeds of the other system; None to evaluate one run.
        data_dir: where the domain folders are.
        trust: whether the run may name code that is none of this project's.
        accelerator: to rank on.
        shown: metrics on the terminal.
        bucket_edges: of the popularity of targets.
        metrics: to compare.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        output_dir: for `comparison.json`.
        root_dir: of the project.
        accepts_changed_data: whether to go on with other data than a run was made on.
    """

    run: str | list[str]
    against: str | list[str] | None
    data_dir: Path
    trust: bool
    accelerator: str
    shown: list[str]
    bucket_edges: list[int]
    metrics: list[str]
    num_resamples: int
    seed: int
    output_dir: Path
    root_dir: Path
    accepts_changed_data: bool


def read_settings(cfg: DictConfig) -> EvaluateSettings:
    """The settings of the command.

    Raises:
        ValueError: `trust` is neither true nor false; any text would count as true.
    """
    config = plain(cfg)
    check_truths(trust=config["trust"])
    own = {name: config[name] for name in EvaluateSettings._fields if name in config}
    places = {
        "data_dir": Path(config["paths"]["data_dir"]),
        "output_dir": Path(config["output_dir"]),
        "root_dir": Path(config["paths"]["root_dir"]),
    }
    accepted = {"accepts_changed_data": accepts(config["changed_data"])}
    return EvaluateSettings(**{**own, **places, **accepted})


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
    settings = read_settings(cfg)
    if not isinstance(settings.run, str):
        raise ValueError("run: name one run folder; to compare several, add against=")
    quiet_lightning()
    folder = RunFolder(Path(settings.run))
    run = read_saved_run(folder, data_dir=settings.data_dir, trust=settings.trust)
    experiment = build_experiment(run)
    warn_of_parts(experiment, run, names=["test"])
    changed = check_run(folder, experiment.identity, accept=settings.accepts_changed_data)
    torch.set_float32_matmul_precision(run.config["matmul_precision"])
    trainer = Trainer(
        accelerator=settings.accelerator,
        devices=1,
        precision=run.config["trainer"]["precision"],
        logger=False,
        deterministic=True,
        enable_checkpointing=False,
        enable_model_summary=False,
        plugins=[WholeCheckpoints()],
        default_root_dir=str(folder.path),
    )
    checkpoint = chosen_checkpoint(folder.path) if experiment.module.learns else None
    _rank(experiment, trainer, checkpoint=checkpoint)
    _say_differences(folder, experiment.module.metrics)
    print_metrics(
        run.name, {"test": split_metrics(experiment.module.metrics, "test")}, settings.shown
    )
    report = {"metrics": experiment.module.metrics, "buckets": {}, ACCEPTED: changed}
    return _write(report, experiment, folder.evaluation, settings, cutoffs=run.cutoffs)


def _write(
    report: dict[str, Any],
    experiment: Experiment,
    folder: Path,
    settings: EvaluateSettings,
    *,
    cutoffs: list[int],
) -> dict[str, Any]:
    """Adds the buckets to what is reported, and writes it."""
    folder.mkdir(exist_ok=True)
    for span, users in zip(
        experiment.datamodule.domains.spans, experiment.module.target_ranks, strict=True
    ):
        buckets = popularity_buckets(
            users,
            experiment.catalogue.train_counts,
            edges=settings.bucket_edges,
            cutoffs=cutoffs,
        )
        print_buckets(span.name, buckets, settings.shown)
        popularity_figure(folder / f"popularity_{span.name}.png", buckets, title=span.name)
        save_ranks(folder / f"ranks_{span.name}.parquet", span, users)
        report["buckets"][span.name] = [bucket.as_row() for bucket in buckets]
    write_json(folder / "metrics.json", report)
    return report


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


def _say_differences(folder: RunFolder, found: Mapping[str, float]) -> None:
    """Warns of figures that are not those of the run's own `metrics.json`, where it has one."""
    try:
        recorded = json.loads(folder.metrics.read_text(encoding="utf-8"))
        both = {key: float(recorded[key]) for key in found if key in recorded}
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError) as error:
        _log.warning("%s cannot be read: %s", folder.metrics, error)
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
            folder.metrics,
            other[0],
            found[other[0]],
            both[other[0]],
        )


def _is_load_error(error: RuntimeError) -> bool:
    return "state_dict" in str(error) or "PytorchStreamReader" in str(error)
