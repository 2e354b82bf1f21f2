"""A service of light workers under the supervisor, which name the version that they read."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn

from missrec.app.supervisor import CANNOT_LOAD, Supervisor

VERSION, LOADED, STARTS = "version", "loaded", "starts"
BROKEN = "broken"


def make_worker(folder: Path) -> Any:
    """An app that answers `<version> <process>`."""
    version = (folder / VERSION).read_text()
    with (folder / STARTS).open("a") as starts:
        starts.write(f"{os.getpid()} {version}\n")
    if version == BROKEN:
        sys.exit(CANNOT_LOAD)
    (folder / LOADED).touch()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = f"{version} {os.getpid()}".encode()
        await send({"type": "http.response.body", "body": body})

    return app


def supervise(folder: Path, bound: socket) -> None:
    """Two workers until the process is told to end; its exit code says whether they failed."""
    logging.disable()
    config = uvicorn.Config(
        partial(make_worker, folder),  # type: ignore[arg-type]
        factory=True,
        workers=2,
        lifespan="off",
        log_level="critical",
    )
    supervisor = Supervisor(config, [bound], loaded=folder / LOADED)
    supervisor.run()
    sys.exit(supervisor.has_failed)
