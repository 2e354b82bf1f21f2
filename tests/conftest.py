"""A process of tests looks for garbage seldom."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest

from missrec.app.command_line.imports import heavy_imports


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nobody looks for garbage while tests are imported, nor later in what that has made.

    Later it is looked for after 20,000 new objects, not 700: a composed config has so many.
    """
    with heavy_imports():
        collected = yield
        gc.freeze()
        gc.set_threshold(20_000)
    return collected


def pytest_unconfigure() -> None:
    gc.unfreeze()  # for libraries that look at the end whether all of theirs is gone
