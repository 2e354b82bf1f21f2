"""Training by several processes: Lightning's DDP, safe in sweeps and when a process dies."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning_fabric.plugins import ClusterEnvironment
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from missrec.app.resume import saved_config_arguments
from missrec.distributed import gather_objects

_ENVIRONMENT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
_PARENT = "MISSREC_PARENT"
_POLL_SEC = 0.5
_MOMENT_SEC, _LEAVE_SEC = 2, 60
_GRACE_SEC = 20
"""How long a process may take to fail by itself after another one has died."""

_log = logging.getLogger(__name__)


def is_first_process() -> bool:
    """Whether this process is the one that writes and speaks; known before the processes meet."""
    return getattr(rank_zero_only, "rank", 0) == 0


def hold_port(port: int) -> socket.socket:
    """Keeps a port for who will listen there: the system gives it to no other program.

    Args:
        port: 0 for any that is free.

    Returns:
        What to close when it is not needed any more.

    Raises:
        OSError: somebody listens there.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # torch's store has it too
    try:
        held.bind(("", port))
    except OSError as error:
        held.close()
        raise OSError(f"MASTER_PORT ({port}) cannot be had: {error.strerror}") from error
    return held


class OneProcessPerDevice(DDPStrategy):
    """Distributed data parallel training, one process a device.

    **Differs** from Lightning's: the other processes start from the saved config of the run, not
    from the command line, which in a sweep describes all jobs and may draw other values each time;
    a process that dies ends the job; `working` leaves nothing behind for the next job. Buffers are
    computed alike everywhere, so they are not sent around before each step.
    """

    clips_gradients = True

    def __init__(self, *, run_dir: str, timeout_sec: float) -> None:
        """Keeps the settings.

        Args:
            run_dir: holds the `config.yaml` of the run.
            timeout_sec: how long a process waits for the others before it gives up.
        """
        super().__init__(timeout=timedelta(seconds=timeout_sec))
        self._run_dir = Path(run_dir).resolve()

    def _setup_model(self, model: nn.Module) -> DistributedDataParallel:
        wrapped = super()._setup_model(model)
        wrapped.broadcast_buffers = False
        return wrapped

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _SavedConfigLauncher(
            self.cluster_environment, self.num_processes, self.num_nodes, run_dir=self._run_dir
        )


class _SavedConfigLauncher(_SubprocessScriptLauncher):
    """Starts the other processes of this machine, watches them, and ends them."""

    def __init__(
        self,
        cluster_environment: ClusterEnvironment,
        num_processes: int,
        num_nodes: int,
        *,
        run_dir: Path,
    ) -> None:
        super().__init__(cluster_environment, num_processes, num_nodes)
        self._run_dir = run_dir
        self._environment: dict[str, str | None] = {}
        self._port: socket.socket | None = None
        self._ended = threading.Event()
        # As Lightning does with NCCL alone; gloo's threads may abort a process that has ended.
        atexit.register(_leave)

    def launch(
        self,
        function: Callable[..., Any],
        *args: Any,
        trainer: Trainer | None = None,
        **kwargs: Any,
    ) -> Any:
        """Calls the function, in all processes; once they run, they call it by themselves."""
        self.cluster_environment.validate_settings(
            num_devices=self.num_processes, num_nodes=self.num_nodes
        )
        if not self.cluster_environment.creates_processes_externally:
            self._start_others()
        elif parent := os.environ.pop(_PARENT, None):
            _start_thread(_die_with, int(parent))
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)

    def kill(self, signum: int | signal.Signals) -> None:
        """Ends the other processes; on SIGTERM, which Lightning's handler hands on, this one too.

        Lightning would go on to tell the others, in the middle of whatever all of them tell each
        other at that moment, and they could wait for ever.
        """
        super().kill(signal.SIGKILL)
        if signum == signal.SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    def end(self, *, wait_sec: float) -> str | None:
        """Ends the other processes, and forgets that they were.

        Args:
            wait_sec: how long they may take to end by themselves.

        Returns:
            What to say of one that failed by itself; None if none did.
        """
        self._ended.set()
        until = time.monotonic() + wait_sec
        for process in self.procs:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, until - time.monotonic()))
        failure = self._failure()
        self.kill(signal.SIGKILL)
        for process in self.procs:
            process.wait()
        if self._port is not None:
            self._port.close()
        if self._environment:
            _leave()
        for name, value in self._environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        self._environment, self.procs = {}, []
        return failure

    def _start_others(self) -> None:
        if self.num_nodes > 1:
            raise ValueError(
                f"trainer.num_nodes ({self.num_nodes}): several machines need torchrun or srun to "
                "start the processes, see docs/distributed.md"
            )
        self._port = hold_port(int(os.environ.get("MASTER_PORT", "0")))
        self._environment = {name: os.environ.get(name) for name in _ENVIRONMENT}
        os.environ.update(
            MASTER_ADDR=self.cluster_environment.main_address,
            MASTER_PORT=str(self._port.getsockname()[1]),
            NODE_RANK="0",
            LOCAL_RANK="0",
            WORLD_SIZE=str(self.num_processes),
        )
        door = Path(os.environ["PROJECT_ROOT"]) / "src" / "train.py"
        command = [sys.executable, str(door), *saved_config_arguments(self._run_dir)]
        for index in range(1, self.num_processes):
            own = {**os.environ, "LOCAL_RANK": str(index), _PARENT: str(os.getpid())}
            self.procs.append(subprocess.Popen(command, env=own))
        self._ended.clear()
        _start_thread(self._watch)

    def _watch(self) -> None:
        """Ends this process too where the death of another one does not: in a collective."""
        while not self._ended.wait(_POLL_SEC):
            failure = self._failure()
            if failure and not self._ended.wait(_GRACE_SEC):
                self.kill(signal.SIGKILL)
                _exit(failure)

    def _failure(self) -> str | None:
        for index, process in enumerate(self.procs, start=1):
            if code := process.poll():
                how = f"was ended by signal {-code}" if code < 0 else f"failed with code {code}"
                return f"process {index} of 0..{self.num_processes - 1} {how}"
        return None


@contextmanager
def working(trainer: Trainer) -> Iterator[None]:
    """Inside, the trainer may start processes; afterwards there is none left, nor a trace of one.

    Raises:
        RuntimeError: a process died, and the work of this one with it.
    """
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SavedConfigLauncher):
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

    def __init__(self, cfg: DictConfig) -> None:
        """Takes the config of this process."""
        self._lines = OmegaConf.to_yaml(cfg, resolve=True).splitlines()

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
        ValueError: in a way that is not supported.
    """
    strategy = trainer.strategy
    if trainer.world_size > 1 and not isinstance(strategy, OneProcessPerDevice):
        raise ValueError(
            f"trainer: {trainer.world_size} processes need trainer=ddp, or trainer=ddp_cpu; "
            f"{type(strategy).__name__} is not supported"
        )
    if trainer.gradient_clip_val and not getattr(strategy, "clips_gradients", True):
        raise ValueError(
            f"trainer.gradient_clip_val ({trainer.gradient_clip_val}): trainer=fsdp cannot clip "
            "gradients; set it to null, or use trainer=ddp"
        )
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1 or not is_first_process()
    if several and trainer.world_size == 1:
        raise ValueError(
            "trainer: WORLD_SIZE, RANK, LOCAL_RANK or SLURM_PROCID says that this is one of "
            "several processes, but the trainer is for one; set trainer=ddp, see "
            "docs/distributed.md, or unset the variable"
        )


def _first_not_in(others: Sequence[str], lines: Sequence[str]) -> str:
    return next((line.strip() for line in lines if line not in others), "nothing more")


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _start_thread(target: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=target, args=args, daemon=True).start()


def _die_with(parent: int) -> None:
    """Ends this process once the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(_POLL_SEC)
    _exit("the first process is gone")


def _exit(why: str) -> None:
    sys.stderr.write(f"error: {why}\n")
    sys.stderr.flush()
    os._exit(1)
