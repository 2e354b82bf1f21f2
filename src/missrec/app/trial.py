"""One trial of a hyper-parameter search: fits, and ranks the users of validation alone."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from optuna.exceptions import TrialPruned
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from missrec.app.command_line.grammar import quoted
from missrec.app.fitting import computing, fit, keep_untrained, validate
from missrec.app.resume import begin, earlier_run
from missrec.app.session import composed, continued, plain
from missrec.app.settings import RunSettings, read_run
from missrec.app.train import make_ready
from missrec.files import write_json
from missrec.runs.folder import RunFolder
from missrec.runs.owner import writing
from missrec.tracking.tracker import logging_to
from missrec.training.silence import quiet_lightning


class ReportValidation(Callback):
    """Reports a metric after each validation of the training, and stops where it is told to."""

    def __init__(self, metric: str, report: Callable[[int, float], bool]) -> None:
        """Keeps the settings.

        Args:
            metric: such as `val/ndcg@10`.
            report: takes the epoch and the value; says whether to stop.
        """
        self._metric = metric
        self._report = report

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reports.

        Raises:
            TrialPruned: the answer was to stop.
        """
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        value = float(trainer.callback_metrics[self._metric])
        if self._report(trainer.current_epoch, value):
            raise TrialPruned(f"after epoch {trainer.current_epoch}")


def run_once(
    overrides: Sequence[str], *, root_dir: Path, run_dir: Path, callbacks: Sequence[Callback]
) -> dict[str, float]:
    """Composes a train config and fits and validates it, unless its folder says that it is done.

    A folder with checkpoints is one that was interrupted; it goes on from them.

    Args:
        overrides: of the train config, as on a command line.
        root_dir: of the project.
        run_dir: folder of the run.
        callbacks: added to those of the config.

    Returns:
        What `validation.json` in the folder holds.
    """
    record = RunFolder(run_dir).validation
    if not record.is_file():
        with composed(root_dir, [*overrides, f"run_dir={quoted(run_dir)}"]) as cfg:
            fit_and_validate(continued(read_run(plain(cfg))), callbacks=callbacks)
    metrics: dict[str, float] = json.loads(record.read_text(encoding="utf-8"))
    return metrics


def fit_and_validate(run: RunSettings, *, callbacks: Sequence[Callback] = ()) -> None:
    """Trains as `train` does, ranks validation with the best epoch, and writes `validation.json`.

    Raises:
        FileNotFoundError, ValueError: a mistake in the config or the data.
        TrialPruned: a callback stopped the training.
    """
    quiet_lightning()
    with writing(run.run_dir):
        record = RunFolder(run.run_dir).validation
        earlier = earlier_run(run)
        ready = make_ready(run, earlier, fit_and_validate, record=record.name)
        run, experiment, trainer = ready.run, ready.experiment, ready.trainer
        if trainer.world_size > 1:  # the others would start as runs of their own, with a test
            raise ValueError(
                f"trainer: a trial is one process, not {trainer.world_size}; workers=<n> has "
                "several trials at a time"
            )
        trainer.callbacks.extend(callbacks)  # type: ignore[attr-defined]
        begin(run, earlier, ready.start)
        with computing(run), logging_to(trainer, run.config):
            best, metrics = fit(experiment, trainer, resume_from=ready.start.checkpoint)
            metrics |= validate(experiment, trainer, checkpoint=best)
            keep_untrained(experiment, trainer)
        write_json(record, metrics)


def free_memory() -> None:
    """Frees what the last run left on the device, also after it ran out of memory."""
    gc.collect()
    torch.cuda.empty_cache()
