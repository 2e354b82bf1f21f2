from __future__ import annotations

from collections.abc import Iterator

import pytest

from image_server import ImageServer


@pytest.fixture
def server() -> Iterator[ImageServer]:
    with ImageServer().running() as running:
        yield running
