"""A service of the toy recommender, asked in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient

from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.app import create_app
from missrec.serving.keys import ApiKeys
from missrec.serving.reloading import Load
from missrec.serving.served import Version
from missrec.serving.settings import ServiceSettings
from toy_recommender import toy_recommender

KEY = "a-key-of-the-service"
VERSION = Version("toy@1", "toys@1")


@contextmanager
def service(
    recommender: CatalogueRecommender | None = None,
    *,
    load: Load | None = None,
    with_keys: bool = False,
    **settings: Any,
) -> Iterator[TestClient]:
    """A client of a service that has started."""
    keys = ApiKeys([KEY]) if with_keys else None
    app = create_app(
        recommender or toy_recommender(),
        ServiceSettings(**{"keys": keys, "batch_sec": 0.0, **settings}),
        version=VERSION,
        load=load,
    )
    del recommender  # the app alone holds it
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
