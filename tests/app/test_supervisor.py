"""Workers are replaced when they die and on SIGHUP, and an answer is given all the while."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from toy_supervised import BROKEN, LOADED, STARTS, VERSION, supervise

from missrec.app.supervisor import Connection


class Workers:
    """Two workers; each answers by its version and its process."""

    def __init__(self, folder: Path, version: str) -> None:
        self.folder = folder
        self.write(version)
        self._bound = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._bound.getsockname()[1]}"
        self.supervisor: BaseProcess = multiprocessing.get_context("spawn").Process(
            target=supervise, args=(folder, self._bound)
        )
        self.supervisor.start()

    def write(self, version: str) -> None:
        (self.folder / VERSION).write_text(version)

    def ask(self) -> tuple[str, int]:
        """By a new connection: any of the workers may answer."""
        version, process = httpx.get(self.address, timeout=20).text.split()
        return version, int(process)

    def answer(self, *versions: str) -> set[int]:
        """The two processes that answer, once each does by one of these versions."""
        found: set[int] = set()

        def both() -> bool:
            asked = [self.ask() for _ in range(6)]
            if not {version for version, _ in asked} <= {*versions}:
                found.clear()
                return False
            found.update(process for _, process in asked)
            return len(found) >= 2

        until(both)
        return found

    def starts(self) -> int:
        return len((self.folder / STARTS).read_text().splitlines())

    def tell(self, number: signal.Signals) -> None:
        assert self.supervisor.pid is not None
        os.kill(self.supervisor.pid, number)

    def end(self) -> None:
        self.supervisor.terminate()
        self.supervisor.join(20)
        self.supervisor.kill()
        self._bound.close()


def until(is_so: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError(f"not so after {seconds} s")


@contextmanager
def workers(folder: Path, version: str) -> Iterator[Workers]:
    started = Workers(folder, version)
    try:
        yield started
    finally:
        started.end()


@pytest.mark.slow
def test_workers_are_replaced_while_every_request_is_answered(tmp_path: Path) -> None:
    with workers(tmp_path, "first") as own:
        first = own.answer("first")
        killed = first.pop()
        os.kill(killed, signal.SIGKILL)
        again = own.answer("first")  # nothing was refused meanwhile
        assert killed not in again

        own.write("second")
        for _ in range(20):
            own.tell(signal.SIGHUP)
        second = own.answer("second")
        assert not second & again

        time.sleep(1)  # a SIGHUP that came during the reload has made one more
        until(lambda: own.starts() <= 3 + 2 * 2)

        own.write(BROKEN)
        own.tell(signal.SIGHUP)
        num_starts = own.starts()
        until(lambda: own.starts() > num_starts)
        left = own.answer("second")
        os.kill(left.pop(), signal.SIGKILL)  # its place is taken by nobody
        for _ in range(10):
            assert own.ask() in {("second", process) for process in left}
        own.write("third")
        own.answer("second", "third")
        own.supervisor.terminate()
        own.supervisor.join(20)
        assert own.supervisor.exitcode == 0


@pytest.mark.slow
def test_a_service_that_cannot_load_at_all_ends(tmp_path: Path) -> None:
    with workers(tmp_path, BROKEN) as own:
        own.supervisor.join(60)
        assert own.supervisor.exitcode == 1
        assert not (tmp_path / LOADED).exists()


def test_a_connection_that_has_not_asked_yet_is_answered_by_a_server_that_ends() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answered"})

    async def asked_late() -> bytes:
        bound = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, http=Connection, lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        while not server.server_state.connections:
            await asyncio.sleep(0.01)
        server.should_exit = True
        await asyncio.sleep(0.25)  # it has begun to end
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await serving
        return answer

    assert b"answered" in asyncio.run(asked_late())
