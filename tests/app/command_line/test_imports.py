"""What is heavy is imported in one go, and of a package at first what is needed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from inspect import getsource
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from missrec.app.command_line.imports import Deferring, defer_metrics, heavy_imports

WHOLE = """
import logging
log = logging.getLogger("fair")
from fair.light import Light
from fair.heavy import Heavy
"""
LIGHT = """
from fair import log
class Light: log = log
"""
HEAVY = """
from fair.light import Light
class Heavy(Light): pass
"""

Import = Callable[..., ModuleType]


@pytest.fixture
def import_fair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Import]:
    """Imports a package `fair` of which `Light` is at hand; arguments change its files."""
    monkeypatch.syspath_prepend(tmp_path)

    def begin(known: Mapping[str, Any], **files: str) -> ModuleType:
        (tmp_path / "fair").mkdir()
        for name, source in {"__init__": WHOLE, "light": LIGHT, "heavy": HEAVY, **files}.items():
            (tmp_path / "fair" / f"{name}.py").write_text(source)
        finder = Deferring("fair", {"Light": "fair.light"}, known=known)
        monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
        return import_module("fair")

    yield begin
    for name in [name for name in sys.modules if name.partition(".")[0] == "fair"]:
        del sys.modules[name]


def test_what_is_named_comes_alone_and_the_rest_when_it_is_asked_for(import_fair: Import) -> None:
    fair = import_fair({"log": "early"})
    light = fair.Light
    assert "fair.heavy" not in sys.modules
    assert issubclass(fair.Heavy, light)
    assert light is fair.Light
    assert fair.log.name == "fair"
    assert getsource(fair) == WHOLE
    with pytest.raises(AttributeError, match="module 'fair' has no attribute 'other'"):
        _ = fair.other


def test_a_package_that_is_made_otherwise_comes_whole(import_fair: Import) -> None:
    fair = import_fair({})  # light asks for what is not known
    assert "fair.heavy" in sys.modules
    assert fair.Light.log.name == "fair"


def test_a_rest_that_fails_is_tried_again(import_fair: Import, tmp_path: Path) -> None:
    fair = import_fair({"log": None}, heavy="raise OSError('not yet')")
    for _ in range(2):
        with pytest.raises(OSError, match="not yet"):
            _ = fair.Heavy
    (tmp_path / "fair" / "heavy.py").write_text(HEAVY.replace("pass", "there = True"))
    assert fair.Heavy.there


def test_metrics_are_deferred_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    for _ in range(2):
        defer_metrics()
    assert sum(isinstance(finder, Deferring) for finder in sys.meta_path) == 1


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_looked_for_again_after_the_imports(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        with suppress(ImportError), heavy_imports():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == enabled
    finally:
        gc.enable()
