"""What is heavy is imported in one go, and of a package at first what is needed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from inspect import getsource
from pathlib import Path
from subprocess import run
from types import ModuleType
from typing import Any

import pytest

from missrec.app.command_line.imports import (
    Deferring,
    defer_compiler,
    defer_metrics,
    heavy_imports,
)

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

    def begin(
        known: Mapping[str, Any],
        *,
        names: Mapping[str, str] | None = None,
        needed: bool = False,
        **files: str,
    ) -> ModuleType:
        (tmp_path / "fair").mkdir()
        for name, source in {"__init__": WHOLE, "light": LIGHT, "heavy": HEAVY, **files}.items():
            (tmp_path / "fair" / f"{name}.py").write_text(source)
        light = {"Light": "fair.light"} if names is None else names
        finder = Deferring("fair", light, known=known, parts_need_it=needed)
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


@pytest.mark.parametrize("needed", [False, True])
def test_a_part_waits_for_the_package_where_it_needs_it(
    import_fair: Import, tmp_path: Path, needed: bool
) -> None:
    fair = import_fair({}, needed=needed, names={}, heavy="import fair; class_of = fair.Light")
    assert not {"fair.light", "fair.heavy"} & sys.modules.keys()
    (tmp_path / "fair" / "__init__.py").write_text(
        "from fair.light import Light\nfrom fair import heavy\n"
    )
    (tmp_path / "fair" / "light.py").write_text("class Light: pass\n")
    light = import_module("fair.light")
    assert ("fair.heavy" in sys.modules) == needed
    assert fair.Light is light.Light  # imported once, either way
    assert sys.modules["fair.heavy"].class_of is light.Light
    assert getsource(light) == "class Light: pass\n"


def test_each_package_is_deferred_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    for _ in range(2):
        defer_metrics()
        defer_compiler()
    deferred = [finder.package for finder in sys.meta_path if isinstance(finder, Deferring)]
    assert sorted(deferred) == [
        *("torch._dynamo", "torch._inductor", "torch.utils.flop_counter", "torchmetrics"),
        "triton",
    ]


TRAINS_THEN_COMPILES = """
import sys
from missrec.app.command_line.imports import heavy_imports
with heavy_imports():
    import missrec.app.train
import torch
from lightning_fabric.wrappers import OptimizedModule
from torch.optim import Adam

torch.use_deterministic_algorithms(True)
model = torch.nn.Linear(2, 1)
optimizer = Adam(model.parameters())

def step():
    optimizer.zero_grad()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()

step()
assert not isinstance(model, OptimizedModule)
heavy = {"torch._dynamo.eval_frame", "torch._inductor.utils", "triton.runtime", "sympy"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()

compiled = torch.compile(model, backend="eager")
assert torch.equal(compiled(torch.ones(1, 2)), model(torch.ones(1, 2)))
assert isinstance(compiled, OptimizedModule) and not isinstance(model, OptimizedModule)
step()
from torch.utils.flop_counter import FlopCounterMode
with FlopCounterMode(display=False) as counter:
    model(torch.ones(3, 2))
assert counter.get_total_flops() == 12
import torch._dynamo
assert torch._dynamo.disable.__module__.startswith("torch._dynamo")
"""


@pytest.mark.slow
def test_training_asks_for_no_compiler_and_compiling_finds_one() -> None:
    said = run([sys.executable, "-c", TRAINS_THEN_COMPILES], check=True, capture_output=True)
    assert not said.stderr


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
