"""The HTTP service of one recommender."""

from __future__ import annotations

from fastapi import FastAPI

from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.explorer import explorer_router, page_router
from missrec.serving.exploring import Explorer
from missrec.serving.served import Served, Version
from missrec.serving.settings import ServiceSettings


def create_app(
    recommender: CatalogueRecommender,
    settings: ServiceSettings,
    *,
    version: Version | None = None,
    explorer: Explorer | None = None,
) -> FastAPI:
    """The service.

    Args:
        recommender: what answers.
        settings: of the service.
        version: what answers are made of.
        explorer: what the page at `/` shows; None shows the recommender alone, without pictures.
    """
    app = FastAPI(title="MISSRec", docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.served = Served(
        recommender, version or Version(), explorer or Explorer(recommender)
    )
    app.include_router(page_router())
    app.include_router(explorer_router())
    return app
