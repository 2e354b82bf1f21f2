"""Loggers, and what a run folder records of how it was made."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger

from missrec.files import write_text


def wandb_logger(
    *, save_dir: str, project: str, group: str, name: str, job_type: str, mode: str
) -> WandbLogger:
    """A W&B logger that never asks a question and never waits for a login.

    Args:
        save_dir: run folder; offline runs lie in `<save_dir>/wandb`. A run resumed in the same
            folder continues the same W&B run.
        project: W&B project.
        group: experiment or sweep.
        name: name of the run.
        job_type: pretrain, transfer or scratch.
        mode: `online`, `offline`, or `auto`: online where an API key is known, else offline.

    Raises:
        ValueError: another mode.
    """
    import wandb  # takes seconds to import, and only runs that log need it

    if mode not in {"auto", "online", "offline"}:
        raise ValueError(f"logger mode ({mode!r}) must be auto, online or offline")
    if mode == "auto":
        logged_in = wandb.login(prompt=False, verify=False)
        mode = os.environ.get("WANDB_MODE") or ("online" if logged_in else "offline")
    id_file = Path(save_dir) / "wandb_id.txt"
    if not id_file.exists():
        write_text(id_file, uuid.uuid4().hex[:8] + "\n")
    return WandbLogger(
        save_dir=save_dir,
        project=project,
        group=group,
        name=name,
        job_type=job_type,
        id=id_file.read_text().strip(),
        resume="allow",
        offline=mode != "online",
        settings=wandb.Settings(
            mode="online" if mode == "online" else "offline", silent=True, console="off"
        ),
    )


def log_table(logger: WandbLogger, key: str, table: pl.DataFrame) -> None:
    """Shows a table in W&B."""
    logger.log_table(key, columns=table.columns, data=[list(row) for row in table.rows()])


@contextmanager
def logging_to(trainer: Trainer, settings: dict[str, Any]) -> Iterator[None]:
    """Logs the settings; ends the loggers with the block: the next job of a sweep has its own."""
    try:
        for logger in trainer.loggers:
            logger.log_hyperparams(settings)
        yield
    finally:
        for logger in trainer.loggers:
            logger.finalize("success")
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()
