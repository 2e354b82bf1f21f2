"""The HTTP service of one recommender."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving import explorer as exploration
from missrec.serving import operations, routes
from missrec.serving.access import Questions
from missrec.serving.batching import Batcher
from missrec.serving.exploring import Explorer
from missrec.serving.heads import HeadAsGet
from missrec.serving.hosts import HostCheck
from missrec.serving.limits import BodyLimit
from missrec.serving.metrics import Metrics
from missrec.serving.record import RequestRecord
from missrec.serving.refusals import answer_refusals
from missrec.serving.reloading import Load, Reload, Reloader, reload_when_told
from missrec.serving.served import Served, Version
from missrec.serving.settings import ServiceSettings

_DESCRIPTION = """Recommendations of a trained model, similar items, and why.

Keys are those of your catalogue. A request is refused by a 4xx that says what is wrong with it;
every answer names the version of model and catalogue that it was made of."""


def create_app(
    recommender: CatalogueRecommender,
    settings: ServiceSettings,
    *,
    version: Version | None = None,
    explorer: Explorer | None = None,
    load: Load | None = None,
    reload: Reload | None = None,
) -> FastAPI:
    """The service.

    Args:
        recommender: what answers.
        settings: of the service.
        version: what answers are made of.
        explorer: what the page at `/` shows; None shows the recommender alone, without pictures.
        load: makes what is served after a reload.
        reload: has the service reload in another way, as one of several processes does.
    """
    app = FastAPI(
        title="MISSRec",
        description=_DESCRIPTION,
        version="1",
        docs_url=None,  # both fetch their scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    metrics = Metrics()
    batcher = Batcher(
        wait_sec=settings.batch_sec,
        max_batch=settings.max_batch,
        max_waiting=settings.max_waiting,
        observe=metrics.batched,
    )
    if reload is None and load is not None:
        reload = Reloader(app, load, metrics=metrics).reload
    app.state.settings = settings
    app.state.served = Served(recommender, version or Version(), explorer or Explorer(recommender))
    app.state.questions = Questions(batcher)
    app.state.metrics = metrics
    app.state.reload = reload
    app.include_router(routes.router)
    app.include_router(operations.router)
    app.include_router(exploration.page)
    app.include_router(exploration.router)
    answer_refusals(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, max_sec=settings.max_body_sec)
    if settings.allowed_hosts is not None:
        app.add_middleware(HostCheck, allowed=settings.allowed_hosts)
    app.add_middleware(RequestRecord, metrics=metrics)
    app.add_middleware(HeadAsGet)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The recommender's thread runs as long as the app; SIGHUP reloads."""
    batcher: Batcher = app.state.questions.batcher
    batcher.start()
    reload: Reload | None = app.state.reload
    reloads = None  # the loop itself holds tasks weakly
    if reload is not None and threading.current_thread() is threading.main_thread():
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, told.set)
        reloads = asyncio.create_task(reload_when_told(told, reload))
    try:
        yield
    finally:
        if reloads is not None:
            reloads.cancel()
        await asyncio.to_thread(batcher.stop)
