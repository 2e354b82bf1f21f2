from __future__ import annotations

from collections.abc import Iterator

import pytest
from toy_service import service
from starlette.testclient import TestClient


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Of a service without keys."""
    with service() as client:
        yield client
