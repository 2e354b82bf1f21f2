"""What starts the workers of a service, replaces them and ends them."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from socket import socket

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.supervisors import Multiprocess

from missrec.app.command_line.door import USER_ERROR

CANNOT_LOAD = USER_ERROR
"""A worker ends with it when what it is to serve cannot be loaded."""


_FIRST_REQUEST_SEC = 0.5
"""How long a worker that ends waits for what a connection was made for."""


class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Uvicorn's, which closes a connection whose first request is still on its way.

    A client that connects while its worker is being replaced would get no answer.
    """

    def shutdown(self) -> None:
        """Closes the connection, once it has asked, or has not for a while."""
        if self.cycle is None:
            asyncio.get_running_loop().call_later(_FIRST_REQUEST_SEC, self._close)
        else:
            super().shutdown()

    def _close(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()


class Supervisor(Multiprocess):
    """Uvicorn's, which waits up to `start_sec` for what has died or is to end.

    Attributes:
        has_failed: whether it ended because what it was started for cannot be loaded.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket], *, loaded: Path) -> None:
        """Ends at once when it is told to, also while workers are being replaced.

        Args:
            config: of the workers.
            sockets: that they answer at.
            loaded: is there once a worker could load what it serves.
        """
        config.http = Connection
        super().__init__(config, sockets)
        self.has_failed = False
        self._loaded = loaded
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.should_exit.set())

    def handle_signals(self) -> None:
        """Of several of one kind only one counts, such as SIGHUPs that came during a reload."""
        for number in set(self.signal_queue):
            while self.signal_queue.count(number) > 1:
                self.signal_queue.remove(number)
        super().handle_signals()

    def keep_subprocess_alive(self) -> None:
        """Replaces workers that have ended; ends when none of the first ones can load the run.

        It pings none while all live: one that is killed then would be waited for.
        """
        if all(worker.process.is_alive() for worker in self.processes):
            return
        if not self._loaded.exists() and any(
            worker.exitcode == CANNOT_LOAD for worker in self.processes
        ):
            self.has_failed = True
            self.should_exit.set()
            return
        super().keep_subprocess_alive()
