"""The processes of a service: one, or workers that share a socket, their counts and one table."""

from __future__ import annotations

import logging
import logging.config
import os
import shutil
import signal
import tempfile
from functools import partial
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from socket import socket
from threading import Thread

import torch
import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess

from missrec.app.explored import explorer_of
from missrec.app.loading import load_recommender
from missrec.app.serve import ServeSettings, listening
from missrec.app.versions import version_of
from missrec.files import digest
from missrec.serving.app import create_app
from missrec.serving.logs import FIELDS, log_config
from missrec.serving.served import Served, Version

_COUNTS = "PROMETHEUS_MULTIPROC_DIR"  # of prometheus_client, which reads it as it is imported

_log = logging.getLogger(__name__)


def serve_alone(settings: ServeSettings) -> None:
    """Answers by this process."""
    logging.config.dictConfig(log_config(settings.log_level))
    with listening(settings) as bound:
        app = _make_alone(settings)
        _say(bound, app.state.served.version)
        uvicorn.Server(_config(settings, app)).run([bound])


def serve_by_workers(settings: ServeSettings) -> None:
    """Answers by several processes; one that dies is replaced.

    On SIGHUP each in turn is replaced by one that has read the run again.
    """
    logging.config.dictConfig(log_config(settings.log_level))
    with listening(settings) as bound, tempfile.TemporaryDirectory(prefix="missrec-") as shared:
        _say(bound, _version(settings, Path(settings.run).resolve()))  # or what is wrong
        os.environ[_COUNTS] = shared
        app = partial(make_worker, settings, Path(shared))
        _Supervisor(_config(settings, app), [bound]).run()


def _make_alone(settings: ServeSettings) -> FastAPI:
    """The app of a process that has no supervisor; it alone holds the recommender."""
    load = partial(_load, settings, None)
    served = load()
    return create_app(
        served.recommender,
        settings.service,
        version=served.version,
        explorer=served.explorer,
        load=load,
    )


class _Supervisor(Multiprocess):
    """Uvicorn's, which waits up to `start_sec` for what has died or is to end."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        """Ends at once when it is told to, also while workers are being replaced."""
        super().__init__(config, sockets)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.should_exit.set())

    def keep_subprocess_alive(self) -> None:
        """Replaces workers that have ended.

        It pings none while all live: one that is killed then would be waited for.
        """
        if not all(worker.process.is_alive() for worker in self.processes):
            super().keep_subprocess_alive()


def make_worker(settings: ServeSettings, shared: Path) -> FastAPI:
    """The app of a worker."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # its supervisor replaces it
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    for counts in shared.glob("gauge_live*.db"):
        pid = int(counts.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
    served = _load(settings, shared)
    remove_old(shared, _tables(shared, served.version))
    return create_app(
        served.recommender,
        settings.service,
        version=served.version,
        explorer=served.explorer,
        reload=_reload_all,
    )


def _say(bound: socket, version: Version) -> None:
    """Logs where, and what, is served."""
    host, port = bound.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _log.info("serving", extra={FIELDS: {"url": url, **version._asdict()}})


def remove_old(shared: Path, own: Path) -> None:
    """Removes the tables of all versions but this one and the one before, which may come back.

    Args:
        shared: folder of the service.
        own: folder of the tables of this version.
    """
    others = [folder for folder in shared.iterdir() if folder.is_dir() and folder != own]
    for old in sorted(others, key=lambda folder: folder.stat().st_mtime)[:-1]:
        shutil.rmtree(old, ignore_errors=True)  # who has mapped them keeps them


def _tables(shared: Path, version: Version) -> Path:
    return shared / digest(list(version))


def _end_with(supervisor: BaseProcess | None) -> None:
    """Stops this process once its supervisor has gone, however that was killed."""
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)


async def _reload_all() -> Version | None:
    os.kill(os.getppid(), signal.SIGHUP)
    return None


def _load(settings: ServeSettings, shared: Path | None) -> Served:
    """What lies at the place of the run now.

    Args:
        settings: of the command.
        shared: folder for what several processes map into memory; None for one of its own.
    """
    torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 1) // settings.workers))
    run = Path(settings.run).resolve()  # once: a link may be turned at any time
    version = _version(settings, run)
    tables = None if shared is None else _tables(shared, version)
    if tables is not None:
        tables.mkdir(exist_ok=True)
    recommender = load_recommender(
        run,
        data_dir=settings.data_dir,
        index=settings.index,
        device=settings.device,
        trust=settings.trust,
        changed_data=settings.changed_data,
        domain=settings.domain,
        new_items=settings.new_items,
        new_item_ids=settings.new_item_ids,
        shared=tables and tables / "items",
    )
    explorer = explorer_of(
        recommender,
        run,
        data_dir=settings.data_dir,
        domain=settings.domain,
        trust=settings.trust,
    )
    return Served(recommender, version, explorer)


def _version(settings: ServeSettings, run: Path) -> Version:
    return version_of(run, data_dir=settings.data_dir, domain=settings.domain, trust=settings.trust)


def _config(settings: ServeSettings, app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=settings.workers > 1,
        workers=settings.workers,
        log_config=log_config(settings.log_level),
        access_log=False,  # it would hold keys
        server_header=False,
        timeout_graceful_shutdown=settings.stop_sec,
        timeout_worker_healthcheck=settings.start_sec,
    )
