"""The HTTP service of one recommender."""

from __future__ import annotations

from fastapi import FastAPI

from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.served import Served, Version
from missrec.serving.settings import ServiceSettings


def create_app(
    recommender: CatalogueRecommender,
    settings: ServiceSettings,
    *,
    version: Version | None = None,
) -> FastAPI:
    """The service.

    Args:
        recommender: what answers.
        settings: of the service.
        version: what answers are made of.
    """
    app = FastAPI(title="MISSRec", docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.served = Served(recommender, version or Version())
    return app
