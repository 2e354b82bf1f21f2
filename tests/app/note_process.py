"""A callback by which each process of a run leaves a note; named on a test's command line."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class NoteProcess(Callback):
    """Writes `<folder>/process_<index>.json`: who it is, and at the end what it trained."""

    def __init__(self, *, folder: str) -> None:
        self._folder = Path(folder)

    def _write(self, trainer: Trainer, **facts: Any) -> None:
        path = self._folder / f"process_{trainer.global_rank}.json"
        path.write_text(json.dumps({"pid": os.getpid(), **facts}))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = hashlib.sha256()
        for tensor in pl_module.state_dict().values():
            weights.update(tensor.numpy().tobytes())
        learning_rate = trainer.optimizers[0].param_groups[0]["lr"]
        self._write(trainer, lr=learning_rate, weights=weights.hexdigest())
