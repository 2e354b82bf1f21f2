from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from missrec.serving.app import create_app
from missrec.serving.settings import ServiceSettings
from serving.chromium import Browser, chromium, served
from serving.toy_explorer import toy_explorer, toys_with_interests
from toy_recommender import KEYS
from toy_service import service

__all__ = ["chromium"]
"""Fixtures of elsewhere."""


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Of a service without keys."""
    with service() as client:
        yield client


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service of the toys with interests, whose first two have pictures."""
    recommender = toys_with_interests()
    explorer = toy_explorer(tmp_path_factory.mktemp("toys"), recommender, [KEYS[0], KEYS[1], "x"])
    app = create_app(recommender, ServiceSettings(batch_sec=0.0), explorer=explorer)
    with served(app) as at:
        yield at


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Says nothing on its console, and asks nobody but the service."""
    chromium.said(), chromium.asked()
    yield chromium
    assert chromium.said() == []
    hosts = {one.split("/")[2].split(":")[0] for one in chromium.asked()}
    assert hosts == {"127.0.0.1"}
