"""A callback that ends its own process the hard way; named on the command line of a test's run."""

from __future__ import annotations

import os
import signal
from typing import Any

from pytorch_lightning import Callback, Trainer


class KillAtStep(Callback):
    """Sends SIGKILL when the run has done a number of steps, before a batch or a validation."""

    def __init__(self, *, step: int) -> None:
        self._step = step

    def _kill(self, trainer: Trainer) -> None:
        if trainer.global_step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._kill(trainer)

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        self._kill(trainer)
