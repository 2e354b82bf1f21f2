"""The processes of a service: one, or workers that share a socket, their counts and one table."""

from __future__ import annotations

import logging
import logging.config
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
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

from missrec.app.command_line.door import one_line
from missrec.app.serve import ServeSettings, listening
from missrec.app.supervisor import CANNOT_LOAD, Supervisor
from missrec.app.trained.explored import explorer_of
from missrec.app.trained.load_settings import LoadSettings
from missrec.app.trained.loading import load_recommender
from missrec.app.trained.versions import version_of
from missrec.files import digest
from missrec.serving.app import create_app
from missrec.serving.logs import FIELDS, log_config
from missrec.serving.served import Served, Version

_COUNTS = "PROMETHEUS_MULTIPROC_DIR"  # of prometheus_client, which reads it as it is imported

_LOADED = "loaded"
"""Name of a file that is there once a worker could load the run."""

_log = logging.getLogger(__name__)


def serve_alone(settings: ServeSettings) -> None:
    """Answers by this process."""
    logging.config.dictConfig(log_config(settings.log_level))
    with listening(settings) as bound:
        app = make_alone(settings)
        _say(bound, app.state.served.version)
        uvicorn.Server(_config(settings, app)).run([bound])


def serve_by_workers(settings: ServeSettings) -> None:
    """Answers by several processes; one that dies is replaced.

    On SIGHUP each in turn is replaced by one that has read the run again.
    """
    logging.config.dictConfig(log_config(settings.log_level))
    with listening(settings) as bound, tempfile.TemporaryDirectory(prefix="missrec-") as shared:
        _say(bound, _version(_now(settings)))  # or what is wrong
        os.environ[_COUNTS] = shared
        app = partial(make_worker, settings, Path(shared))
        supervisor = Supervisor(_config(settings, app), [bound], loaded=Path(shared) / _LOADED)
        supervisor.run()
        if supervisor.has_failed:
            raise ValueError("no process of the service can load the run; the log says why")


def make_alone(settings: ServeSettings) -> FastAPI:
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


def make_worker(settings: ServeSettings, shared: Path) -> FastAPI:
    """The app of a worker."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # its supervisor replaces it
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    for counts in shared.glob("gauge_live*.db"):
        pid = int(counts.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
    try:
        served = _load(settings, shared)
    except (OSError, ValueError) as error:
        _log.error("%s", one_line(error))
        sys.exit(CANNOT_LOAD)
    (shared / _LOADED).touch()
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

    Raises:
        OSError: a part of it is missing.
        ValueError: it cannot be loaded, or changed meanwhile.
    """
    torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 1) // settings.workers))
    now = _now(settings)
    version = _version(now)
    tables = None if shared is None else _tables(shared, version)
    if tables is not None:
        tables.mkdir(exist_ok=True)
    recommender = load_recommender(
        **vars(now), device=settings.device, shared=tables and tables / "items"
    )
    explorer = explorer_of(
        recommender, Path(now.run), data_dir=now.data_dir, domain=now.domain, trust=now.trust
    )
    if _version(now) != version:
        raise ValueError(f"{now.run} or its data changed while it was loaded; reload it once more")
    return Served(recommender, version, explorer)


def _now(settings: ServeSettings) -> LoadSettings:
    """What is to be loaded, with the folder that the run leads to now: a link may be turned."""
    run = Path(settings.load.run).expanduser().resolve()
    return replace(settings.load, run=str(run))


def _version(now: LoadSettings) -> Version:
    return version_of(Path(now.run), data_dir=now.data_dir, domain=now.domain, trust=now.trust)


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
