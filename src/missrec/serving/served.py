"""The recommender that is served now, swapped as a whole."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.exploring import Explorer


class Version(NamedTuple):
    """What an answer was made of.

    Attributes:
        model: name of the run and checksum of its weights.
        catalogue: name of the domain and checksum of its items.
    """

    model: str = "unnamed"
    catalogue: str = "unnamed"


class Served(NamedTuple):
    """One recommender and what it is called; a request uses one from its start to its end.

    Attributes:
        recommender: what answers.
        version: what it is made of.
        explorer: what the page shows of it.
    """

    recommender: CatalogueRecommender
    version: Version
    explorer: Explorer


def _served(request: Request) -> Served:
    served: Served = request.app.state.served
    return served


Now = Annotated[Served, Depends(_served)]
"""Parameter of a route: what is served as its request begins."""
