"""`python src/train.py`: train, choose on validation, test once."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers.logger import DummyLogger

from missrec.app.build import Experiment, build, build_experiment, compile_modules
from missrec.app.prepare import prepare_missing
from missrec.app.resume import (
    CHECKPOINTS,
    continued,
    furthest_checkpoint,
    other_process_arguments,
)
from missrec.app.transfer import compose_pretraining, pretrained_checkpoint, start_from
from missrec.distributed import is_first_process
from missrec.files import write_json
from missrec.report.formats.terminal import print_metrics
from missrec.runs.folder import record_provenance, saved_config
from missrec.runs.locks import only_writer
from missrec.runs.ranks import save_ranks
from missrec.tracking.loggers import close_loggers
from missrec.training.memory import keep_freed_memory
from missrec.training.strategies.ddp import SameConfig, refuse_unsupported, working
from missrec.training.transfer import count_parameters
from missrec.types import DiscoversInterests

METRICS = "metrics.json"
"""What a run writes last: its metrics on validation and test."""

_log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> dict[str, float]:
    """Trains, tests the checkpoint that validation chose, and writes the run folder.

    A model without anything to train is only ranked. `cfg.resume` continues the run in its own
    folder from where its checkpoints end. Of several processes each comes here; the first one
    alone writes and speaks.

    Returns:
        What `metrics.json` holds.

    Raises:
        FileNotFoundError, ValueError: a mistake in the config or the data.
        RunBusyError: another process writes into the run folder.
    """
    quiet_lightning()
    if not is_first_process():
        quiet_process()
    with writing(Path(cfg.run_dir)):
        return _train(cfg)


def writing(run_dir: Path, *, waits: bool = False) -> AbstractContextManager[None]:
    """`only_writer` of the first process; the others, which write nothing, are let in."""
    return only_writer(run_dir, waits=waits) if is_first_process() else nullcontext()


def _train(cfg: DictConfig) -> dict[str, float]:
    run_dir = Path(cfg.run_dir)
    source = first_stage(cfg, train, record=METRICS)
    experiment = set_up(cfg, source=source)
    trainer = build_trainer(saved_config(cfg, pretrained=source))
    _log.info("run folder: %s", run_dir)
    try:
        with working(trainer):
            resume_from = furthest_checkpoint(run_dir) if cfg.resume else None
            metrics = fit_and_rank(experiment, trainer, resume_from=resume_from)
    finally:
        close_loggers(trainer)
    if not is_first_process():
        return metrics
    for span, users in zip(
        experiment.datamodule.spans, experiment.module.target_ranks, strict=True
    ):
        save_ranks(run_dir / f"test_ranks_{span.name}.parquet", span, users)
    write_json(run_dir / METRICS, metrics)
    rows = {split: split_metrics(metrics, split) for split in ("val", "test")}
    print_metrics(cfg.names.run, rows, list(cfg.metrics.shown))
    return metrics


def first_stage(
    cfg: DictConfig, run: Callable[[DictConfig], object], *, record: str
) -> Path | None:
    """The checkpoint to start from, pre-training first where the config asks for it.

    Args:
        cfg: of the run that starts from it.
        run: does the pre-training, given its config.
        record: the file in the folder of a pre-training that says it is done.

    Raises:
        FileNotFoundError: there is no such checkpoint.
    """
    if cfg.pretraining:
        stage = compose_pretraining(cfg)
        stage_dir = Path(stage.run_dir)
        # Of the jobs that run at the same time, one trains it and the others wait; the processes of
        # one job train it together.
        with writing(stage_dir, waits=True):
            if not (stage_dir / record).is_file():
                run(continued(stage))
        return pretrained_checkpoint(stage.run_dir)
    return pretrained_checkpoint(cfg.pretrained) if cfg.pretrained else None


def set_up(cfg: DictConfig, *, source: Path | None) -> Experiment:
    """What there is before the trainer: seeds, data, the model with its first weights; recorded.

    Args:
        cfg: of the run.
        source: the checkpoint to start from.

    Raises:
        FileNotFoundError, ValueError: a mistake in the config or the data.
    """
    if cfg.seed is not None:
        seed_everything(cfg.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision(cfg.matmul_precision)
    if cfg.keep_freed_memory:
        keep_freed_memory()
    if is_first_process():
        prepare_missing(cfg)
    experiment = build_experiment(cfg)
    if source is not None:
        start_from(
            source,
            experiment.module.model,
            same_domain=cfg.pretraining_same_data,
            trainable=cfg.freeze.trainable,
        )
    compile_modules(
        experiment.module.model, list(cfg.compiled_modules), backend=cfg.compile_backend
    )
    _log.info("%s of %s parameters train", *map("{:,}".format, count_parameters(experiment.module)))
    if is_first_process():
        record_provenance(Path(cfg.run_dir), cfg, pretrained=source)
    return experiment


def build_trainer(cfg: DictConfig) -> Trainer:
    """The Lightning trainer with the callbacks and loggers of the config.

    Raises:
        ValueError: the config asks for several processes in a way that is not supported, or for
            what this machine has not.
    """
    callbacks: list[Callback] = [
        build(cfg.callbacks, str(key)) for key, chosen in cfg.callbacks.items() if chosen
    ]
    callbacks.append(SameConfig(OmegaConf.to_yaml(cfg, resolve=True).splitlines()))
    loggers = [DummyLogger()]
    if is_first_process():
        loggers = [build(cfg.logger, str(key)) for key in cfg.logger]
    parts: dict[str, Any] = {"callbacks": callbacks, "logger": loggers}
    if isinstance(cfg.trainer.get("strategy"), DictConfig):
        command = [sys.executable, sys.argv[0], *other_process_arguments(Path(cfg.run_dir))]
        parts["strategy"] = build(cfg.trainer, "strategy", command=command)
    try:
        trainer: Trainer = build(cfg, "trainer", **parts, default_root_dir=cfg.run_dir)
    except MisconfigurationException as error:  # such as a GPU that is not there
        raise ValueError(f"trainer: {error}") from error
    refuse_unsupported(trainer)
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    for logger in trainer.loggers:
        logger.log_hyperparams(settings)
    return trainer


def fit_and_rank(
    experiment: Experiment, trainer: Trainer, *, resume_from: Path | None
) -> dict[str, float]:
    """Fits, then ranks the users of validation and test with the best checkpoint.

    A pre-trained model with nothing to train is ranked as it is, and kept as `epoch_000.ckpt`.

    Returns:
        `val/...` and `test/...` metrics, `epochs`, and whether it `stopped_early` (1 or 0).
    """
    best, metrics = fit(experiment, trainer, resume_from=resume_from)
    for rank in (trainer.validate, trainer.test):
        metrics |= rank_users(experiment, rank, checkpoint=best)
    keep_untrained(experiment, trainer)
    return metrics


def fit(
    experiment: Experiment, trainer: Trainer, *, resume_from: Path | None
) -> tuple[str | None, dict[str, float]]:
    """Fits what there is to fit.

    Returns:
        The checkpoint that validation chose, and `epochs` and `stopped_early` (1 or 0); None and
        nothing for a model that does not learn.
    """
    module = experiment.module
    if module.learns:
        data = experiment.datamodule
        trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)
        if trainer.interrupted:  # Lightning swallows Ctrl-C; an unfinished run has no test
            raise KeyboardInterrupt
        checkpoint = trainer.checkpoint_callback
        if not isinstance(checkpoint, ModelCheckpoint):
            raise ValueError("callbacks: a ModelCheckpoint is needed to choose the epoch to test")
        return checkpoint.best_model_path, _ending(trainer)
    if isinstance(module.model, DiscoversInterests):
        module.model.refresh_interests()  # no epoch will start
    return None, {}


def rank_users(
    experiment: Experiment, rank: Callable[..., object], *, checkpoint: str | None
) -> dict[str, float]:
    """The metrics of one split, which `rank` goes over: `trainer.validate` or `trainer.test`."""
    module, data = experiment.module, experiment.datamodule
    rank(module, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    return module.metrics


def keep_untrained(experiment: Experiment, trainer: Trainer) -> None:
    """Saves a ranked model that has parameters and trained none of them, as `epoch_000.ckpt`."""
    if not experiment.module.learns and count_parameters(experiment.module)[1]:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / CHECKPOINTS / "epoch_000.ckpt")


def split_metrics(metrics: dict[str, float], split: str) -> dict[str, float]:
    """The metrics of one split without its prefix; means over domains only."""
    keys = [key.split("/") for key in metrics]
    return {key[1]: metrics["/".join(key)] for key in keys if len(key) == 2 and key[0] == split}


def quiet_lightning() -> None:
    """Silences what Lightning and FAISS say of themselves in every run."""
    for library in ("pytorch_lightning", "lightning_fabric", "faiss.loader"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # torch renamed what Lightning 2.6 still calls; nothing a user could change.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # Resuming writes into the run's own folder; ranking needs none of the training's callbacks.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint.*")
    # Batches are cut from arrays in the training process on purpose, see conf/train.yaml.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # What is logged without it is the same in all processes.
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")


def quiet_process() -> None:
    """Silences what the first process says for all; errors stay."""
    logging.getLogger("missrec").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def _ending(trainer: Trainer) -> dict[str, float]:
    stopping = trainer.early_stopping_callback
    stopped_early = isinstance(stopping, EarlyStopping) and stopping.stopped_epoch > 0
    if isinstance(stopping, EarlyStopping) and not stopped_early:
        _log.warning(
            "training reached max_epochs (%s) before early stopping: it may not have converged",
            trainer.max_epochs,
        )
    return {"epochs": trainer.current_epoch, "stopped_early": float(stopped_early)}
