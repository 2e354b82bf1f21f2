"""Starts the other processes of a run on this machine, watches them, and ends them."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from lightning_fabric.plugins import ClusterEnvironment
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning import Trainer
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from torch import distributed

_ENVIRONMENT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
_PARENT = "MISSREC_PARENT"
_POLL_SEC = 0.5
_GRACE_SEC = 20
"""How long a process may take to fail by itself after another one has died."""


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


class SavedConfigLauncher(_SubprocessScriptLauncher):
    """Starts the other processes of this machine, watches them, and ends them."""

    def __init__(
        self,
        cluster_environment: ClusterEnvironment,
        num_processes: int,
        num_nodes: int,
        *,
        command: Sequence[str],
    ) -> None:
        """Keeps the settings; `command` starts another process of the run."""
        super().__init__(cluster_environment, num_processes, num_nodes)
        self._command = list(command)
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
        for index in range(1, self.num_processes):
            own = {**os.environ, "LOCAL_RANK": str(index), _PARENT: str(os.getpid())}
            self.procs.append(subprocess.Popen(self._command, env=own))
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
