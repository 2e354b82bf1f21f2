from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from toy_service import service


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Of a service without keys."""
    with service() as client:
        yield client
