"""A callback that ends its own process the hard way; named on the command line of a test's run."""

from __future__ import annotations

import os
import signal
from typing import Any

from pytorch_lightning import Callback, Trainer


class KillAtStep(Callback):
    """Sends itself a signal, SIGKILL by default, after a number of steps of the run.

    That is before a batch or a validation. Of several processes all do, or the one named.
    """

    def __init__(
        self, *, step: int, process: int | None = None, signum: int = signal.SIGKILL
    ) -> None:
        self._step = step
        self._process = process
        self._signum = signum

    def _kill(self, trainer: Trainer) -> None:
        named = self._process in {None, trainer.global_rank}
        if trainer.global_step == self._step and named:
            os.kill(os.getpid(), self._signum)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._kill(trainer)

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        self._kill(trainer)
