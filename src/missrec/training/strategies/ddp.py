"""Training by several processes: Lightning's DDP, safe in sweeps and when a process dies."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import DDPStrategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from missrec.distributed import gather_objects, is_first_process
from missrec.training.strategies.launcher import SavedConfigLauncher

_MOMENT_SEC, _LEAVE_SEC = 2, 60

_log = logging.getLogger(__name__)


class StrategyError(ValueError):
    """The trainer's strategy does not do for what the run asks of it."""


class OneProcessPerDevice(DDPStrategy):
    """Distributed data parallel training, one process a device.

    **Differs** from Lightning's: the other processes start from the saved config of the run, not
    from the command line, which in a sweep describes all jobs and may draw other values each time;
    a process that dies ends the job; `working` leaves nothing behind for the next job. Buffers are
    computed alike everywhere, so they are not sent around before each step.
    """

    clips_gradients = True

    def __init__(self, *, command: Sequence[str], timeout_sec: float) -> None:
        """Keeps the settings.

        Args:
            command: starts another process of the run.
            timeout_sec: how long a process waits for the others before it gives up.
        """
        super().__init__(timeout=timedelta(seconds=timeout_sec))
        self._command = list(command)

    def _setup_model(self, model: nn.Module) -> DistributedDataParallel:
        if any(isinstance(part, nn.Embedding) and part.sparse for part in model.modules()):
            raise StrategyError("optimizer=row_adam trains in one process; take optimizer=adam")
        wrapped = super()._setup_model(model)
        wrapped.broadcast_buffers = False
        return wrapped

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = SavedConfigLauncher(
            self.cluster_environment, self.num_processes, self.num_nodes, command=self._command
        )


@contextmanager
def working(trainer: Trainer) -> Iterator[None]:
    """Inside, the trainer may start processes; afterwards there is none left, nor a trace of one.

    Raises:
        RuntimeError: a process died, and the work of this one with it.
    """
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, SavedConfigLauncher):
        yield
        return
    try:
        yield
    except BaseException as error:
        # What breaks off a collective comes a moment before the system says which process died.
        failure = launcher.end(wait_sec=_MOMENT_SEC)
        if failure and isinstance(error, RuntimeError):  # what the collective says of it
            raise RuntimeError(failure) from error
        raise
    if failure := launcher.end(wait_sec=_LEAVE_SEC):
        _log.warning("%s, after the work was done", failure)


class SameConfig(Callback):
    """Stops at once if the processes do not all run the same resolved config."""

    def __init__(self, lines: Sequence[str]) -> None:
        """Takes the resolved config of this process, line by line."""
        self._lines = list(lines)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compares.

        Raises:
            ValueError: the configs differ.
        """
        for index, lines in enumerate(gather_objects(self._lines)):
            if lines != self._lines:
                raise ValueError(
                    f"the processes run different configs: {_first_not_in(self._lines, lines)} in "
                    f"process {index}, {_first_not_in(lines, self._lines)} here; see "
                    "docs/distributed.md"
                )


def refuse_unsupported(trainer: Trainer) -> None:
    """Checks how the trainer would work with several processes.

    Raises:
        StrategyError: in a way that is not supported.
    """
    strategy = trainer.strategy
    if trainer.world_size > 1 and not isinstance(strategy, OneProcessPerDevice):
        raise StrategyError(
            f"trainer: {type(strategy).__name__} is not supported for {trainer.world_size} "
            "processes"
        )
    if trainer.gradient_clip_val and not getattr(strategy, "clips_gradients", True):
        raise StrategyError(
            f"trainer: gradient_clip_val ({trainer.gradient_clip_val}) must be None where tables "
            "are sharded"
        )
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1 or not is_first_process()
    if several and trainer.world_size == 1:
        raise StrategyError(
            "trainer: WORLD_SIZE, RANK, LOCAL_RANK or SLURM_PROCID says that this is one of "
            "several processes, but the trainer is for one; unset the variable where it is not"
        )


def _first_not_in(others: Sequence[str], lines: Sequence[str]) -> str:
    return next((line.strip() for line in lines if line not in others), "nothing more")
