"""What a trainer does for a run: fits, validates the epoch that was chosen, and ranks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.utils.deterministic
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from missrec.app.build import Experiment
from missrec.app.command_line.door import TERMINATED
from missrec.app.settings import RunSettings
from missrec.nn.precision import products
from missrec.runs.folder import RunFolder
from missrec.training.callbacks import MidEpochCheckpoint
from missrec.training.checkpoints import num_steps
from missrec.training.transfer import count_parameters
from missrec.types import DiscoversInterests

_log = logging.getLogger(__name__)


@contextmanager
def computing(run: RunSettings) -> Iterator[None]:
    """Inside, products of float32 are what the settings of a run say, by the fastest kernels.

    Where a trainer is deterministic, torch would write NaN to all memory that it takes, so that
    what is read before it is written shows: a tenth of a small model's time. Nothing is.
    """
    config = run.config
    memory: Any = torch.utils.deterministic
    before = memory.fill_uninitialized_memory
    memory.fill_uninitialized_memory = False
    try:
        with products(config["matmul_precision"], width=config["model"].get("embed_dim")):
            yield
    finally:
        memory.fill_uninitialized_memory = before


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
        checkpoint = trainer.checkpoint_callback
        if not isinstance(checkpoint, ModelCheckpoint) or isinstance(
            checkpoint, MidEpochCheckpoint
        ):
            raise ValueError("callbacks: a ModelCheckpoint is needed to choose the epoch to test")
        try:
            with _told_of_sigterm():
                trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)
        except (MisconfigurationException, RuntimeError) as error:
            # A monitor that nothing logs, such as a term of a loss that this model has not.
            if isinstance(error, RuntimeError) and "Early stopping conditioned" not in str(error):
                raise
            raise ValueError(f"trainer: {error}") from error
        if trainer.interrupted:  # Lightning swallows Ctrl-C; an unfinished run has no test
            raise KeyboardInterrupt
        if not checkpoint.best_model_path:
            raise ValueError("trainer: training ended before any epoch was validated and kept")
        return checkpoint.best_model_path, _ending(trainer)
    if isinstance(module.model, DiscoversInterests):
        module.model.refresh_interests()  # no epoch will start
    return None, {}


def validate(
    experiment: Experiment, trainer: Trainer, *, checkpoint: str | None
) -> dict[str, float]:
    """The metrics of validation at the end of a run; the loggers have them last.

    A checkpoint that this training has validated is not ranked again. One of before a resume is:
    its data or its settings may have been others.
    """
    steps = None if checkpoint is None else num_steps(Path(checkpoint))
    known = experiment.module.validations.get(steps) if steps is not None else None
    if known is None:
        return rank_users(experiment, trainer.validate, checkpoint=checkpoint)
    for logger in trainer.loggers:
        logger.log_metrics({**known, "epoch": trainer.current_epoch}, step=trainer.global_step)
        logger.save()
    return known


def rank_users(
    experiment: Experiment, rank: Callable[..., object], *, checkpoint: str | None
) -> dict[str, float]:
    """The metrics of one split, which `rank` goes over: `trainer.validate` or `trainer.test`."""
    module, data = experiment.module, experiment.datamodule
    with _told_of_sigterm():
        rank(module, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    return module.metrics


@contextmanager
def _told_of_sigterm() -> Iterator[None]:
    """Gives an exit code to what SIGTERM ends; Lightning's has none, which means success."""
    try:
        yield
    except SIGTERMException:
        sys.exit(TERMINATED)


def keep_untrained(experiment: Experiment, trainer: Trainer) -> str | None:
    """Saves a ranked model that has parameters and trained none of them, as `epoch_000.ckpt`."""
    if experiment.module.learns or not count_parameters(experiment.module)[1]:
        return None
    path = RunFolder(Path(trainer.default_root_dir)).checkpoints / "epoch_000.ckpt"
    trainer.save_checkpoint(path)
    return str(path)


def _ending(trainer: Trainer) -> dict[str, float]:
    stopping = trainer.early_stopping_callback
    stopped_early = isinstance(stopping, EarlyStopping) and stopping.stopped_epoch > 0
    if isinstance(stopping, EarlyStopping) and not stopped_early:
        _log.warning(
            "training reached max_epochs (%s) before early stopping: it may not have converged",
            trainer.max_epochs,
        )
    return {"epochs": trainer.current_epoch, "stopped_early": float(stopped_early)}
