"""`python src/train.py`: train, choose on validation, test once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint

from missrec.app.build import Experiment, build, build_experiment
from missrec.app.prepare import prepare_missing
from missrec.app.tracking import record_provenance, write_json
from missrec.metrics.ranking import TargetRanks
from missrec.reporting.tables import print_metrics
from missrec.types import DomainSpan

_log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> dict[str, float]:
    """Trains, tests the checkpoint that validation chose, and writes the run folder.

    A model without parameters is not trained, only ranked. `cfg.resume` continues the run in its
    own folder from `last.ckpt`.

    Returns:
        What `metrics.json` holds.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    if cfg.seed is not None:
        seed_everything(cfg.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision(cfg.matmul_precision)
    prepare_missing(cfg)
    record_provenance(run_dir, cfg)
    experiment = build_experiment(cfg)
    trainer = build_trainer(cfg, run_dir)
    _log.info("run folder: %s", run_dir)
    metrics = fit_and_test(experiment, trainer, resume=cfg.resume is not None, run_dir=run_dir)
    write_json(run_dir / "metrics.json", metrics)
    shown = [key for key in cfg.metrics.shown if f"test/{key}" in metrics]
    rows = {split: {key: metrics[f"{split}/{key}"] for key in shown} for split in ("val", "test")}
    print_metrics(run_dir.name, rows, shown)
    return metrics


def build_trainer(cfg: DictConfig, run_dir: Path) -> Trainer:
    """The Lightning trainer with the callbacks and loggers of the config."""
    callbacks: list[Callback] = [build(cfg.callbacks, key) for key in cfg.callbacks]
    loggers = [build(cfg.logger, key) for key in cfg.logger]
    trainer: Trainer = build(
        cfg, "trainer", callbacks=callbacks, logger=loggers, default_root_dir=str(run_dir)
    )
    if trainer.world_size > 1:
        raise ValueError(
            f"trainer: {trainer.world_size} processes were asked for; training on several devices "
            "is not supported yet, set trainer.devices=1 trainer.num_nodes=1"
        )
    for logger in trainer.loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    return trainer


def fit_and_test(
    experiment: Experiment, trainer: Trainer, *, resume: bool, run_dir: Path
) -> dict[str, float]:
    """Fits, ranks validation and test users with the best checkpoint, and saves their ranks.

    Returns:
        `val/...` and `test/...` metrics, and how the training ended.
    """
    module, datamodule = experiment.module, experiment.datamodule
    best: str | None = None
    metrics: dict[str, float] = {}
    if any(parameter.requires_grad for parameter in module.parameters()):
        last = run_dir / "checkpoints" / "last.ckpt" if resume else None
        trainer.fit(module, datamodule=datamodule, ckpt_path=last, weights_only=True)
        if trainer.interrupted:
            raise KeyboardInterrupt
        checkpoint = trainer.checkpoint_callback
        assert isinstance(checkpoint, ModelCheckpoint)
        best = checkpoint.best_model_path
        metrics = _ending(trainer)
    for validate_or_test, split in ((trainer.validate, "val"), (trainer.test, "test")):
        validate_or_test(
            module, datamodule=datamodule, ckpt_path=best, weights_only=True, verbose=False
        )
        metrics |= {
            key: float(value)
            for key, value in trainer.callback_metrics.items()
            if key.startswith(f"{split}/")
        }
    for span, users in zip(datamodule.spans, module.target_ranks, strict=True):
        save_ranks(run_dir / f"test_ranks_{span.name}.parquet", span, users)
    return metrics


def save_ranks(path: Path, span: DomainSpan, users: TargetRanks) -> None:
    """One row per test user: its expected rank, ties, and the target's id in its domain."""
    pl.DataFrame(
        {
            "user_id": users.user_ids.cpu().numpy(),
            "target_id": (users.target_ids - span.first_item + 1).cpu().numpy(),
            "rank": users.ranks.cpu().numpy(),
            "num_equal": users.num_equal.cpu().numpy(),
        }
    ).write_parquet(path)


def _ending(trainer: Trainer) -> dict[str, Any]:
    """How the training ended; a run that stopped at max_epochs may not have converged."""
    stopping = trainer.early_stopping_callback
    stopped_early = isinstance(stopping, EarlyStopping) and stopping.stopped_epoch > 0
    if not stopped_early:
        _log.warning(
            "training stopped at max_epochs (%s) while validation still improved or early "
            "stopping is off: the run may not have converged",
            trainer.max_epochs,
        )
    return {"epochs": trainer.current_epoch, "stopped_early": stopped_early}
