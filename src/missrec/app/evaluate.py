"""`python src/evaluate.py`: what a run's checkpoint does, user group by user group."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from pytorch_lightning import Trainer

from missrec.app.build import Experiment, build_experiment
from missrec.app.session import RunSettings, plain, read_run
from missrec.files import write_json
from missrec.metrics.buckets import popularity_buckets
from missrec.report.figures.buckets import popularity_figure
from missrec.report.formats.terminal import print_buckets, print_metrics, split_metrics
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.runs.ranks import save_ranks
from missrec.runs.trust import refuse_strangers
from missrec.training.saving import WholeCheckpoints
from missrec.training.silence import quiet_lightning


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


def read_settings(cfg: DictConfig) -> EvaluateSettings:
    """The settings of the command."""
    config = plain(cfg)
    own = {name: config[name] for name in EvaluateSettings._fields if name in config}
    places = {
        "data_dir": Path(config["paths"]["data_dir"]),
        "output_dir": Path(config["output_dir"]),
    }
    return EvaluateSettings(**{**own, **places})


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Ranks the users of a run's test split with its best checkpoint.

    Prints the metrics and the buckets of the paper's Figure 4, and writes
    `evaluation/{metrics.json,popularity_<domain>.png,ranks_<domain>.parquet}` into the run
    folder. What the run itself recorded is left as it is.

    Returns:
        What `evaluation/metrics.json` holds.

    Raises:
        FileNotFoundError: no such run, or it has no checkpoint.
        ValueError: several runs are named, or the checkpoint does not fit the run's config and
            data.
    """
    settings = read_settings(cfg)
    if not isinstance(settings.run, str):
        raise ValueError("run: name one run folder; to compare several, add against=")
    quiet_lightning()
    folder = RunFolder(Path(settings.run))
    run = read_saved_run(folder, data_dir=settings.data_dir, trust=settings.trust)
    experiment = build_experiment(run)
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
    print_metrics(
        run.name, {"test": split_metrics(experiment.module.metrics, "test")}, settings.shown
    )
    return _write(experiment, folder.evaluation, settings, cutoffs=run.cutoffs)


def read_saved_run(folder: RunFolder, *, data_dir: Path, trust: bool) -> RunSettings:
    """The settings of a run, its domain folders looked for under `data_dir`.

    Raises:
        FileNotFoundError: the folder is no run folder.
        ValueError: its config cannot be read, or names code of a stranger and is not trusted.
    """
    if not folder.config.is_file():
        raise FileNotFoundError(
            f"{folder.config} is missing; run must name the folder of a training run, such as "
            "run=logs/scratch/<run>"
        )
    config = folder.read_config()
    if not trust:
        refuse_strangers(config, where=str(folder.config))
    folders = [str(data_dir / Path(name).name) for name in config["data"]["folders"]]
    config["data"] = {**config["data"], "folders": folders}
    config["datamodule"] = {**config["datamodule"], "folders": folders}
    return read_run(config)


def _write(
    experiment: Experiment, folder: Path, settings: EvaluateSettings, *, cutoffs: list[int]
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    report: dict[str, Any] = {"metrics": experiment.module.metrics, "buckets": {}}
    for span, users in zip(
        experiment.datamodule.spans, experiment.module.target_ranks, strict=True
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


def _is_load_error(error: RuntimeError) -> bool:
    return "state_dict" in str(error) or "PytorchStreamReader" in str(error)
