"""The layers of CONTRIBUTING.md: a folder imports only from folders above it in the list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
LAYERS = (
    "types",
    "distributed",
    "files",
    "metrics",
    "data",
    "features",
    "interests",
    "nn",
    "objectives",
    "models",
    "training",
    "retrieval",
    "runs",
    "report",
    "search",
    "tracking",
    "serving",
    "app",
)
SIBLINGS = {"training", "retrieval", "report"}
"""None of them knows another."""
INSIDE = {"missrec.data": "missrec.data.sources"}
"""A folder within a layer that the rest of the layer does not know."""
TYPES_ONLY = {("types", "features")}  # under TYPE_CHECKING: the catalogue names its feature table
TABLES_OF_NAMES = {"missrec.runs.format", "missrec.runs.trust"}
"""Their strings say what saved configs may name; they import nothing by them."""
FILES = sorted((SRC / "missrec").rglob("*.py"))


def module_of(path: Path) -> str:
    return re.sub(r"\.__(init|main)__$", "", ".".join(path.relative_to(SRC).with_suffix("").parts))


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def is_ours(name: str) -> bool:
    return re.fullmatch(r"missrec(\.\w+)+", name) is not None


def named(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """All of missrec that a module names: by any import at any depth, or by a string."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=origin, names=names, level=level):
                parents = module.split(".") + ["__init__"] * is_package
                start = [*parents[: len(parents) - level], *([origin] if origin else [])]
                place = ".".join(start) if level else str(origin)
                found |= {f"{place}.{alias.name}" for alias in names}
            case ast.Constant(value=str(text)) if module not in TABLES_OF_NAMES:
                found.add(text)
    return {name for name in found if is_ours(name)}


@pytest.mark.parametrize(
    "source",
    [
        "import missrec.app.command_line.door",
        "import missrec.app.command_line.door as door",
        "from missrec import app",
        "from missrec.app import door",
        "from missrec.app.command_line.door import one_line",
        "from .. import app",
        "from ..app import door",
        "from ..app.door import one_line",
        "def late():\n    from missrec import app",
        "def late():\n    import missrec.app.command_line.door",
        "if TYPE_CHECKING:\n    from missrec.app.command_line.door import one_line",
        "import_module('missrec.app.command_line.door')",
        "importlib.import_module('missrec.app')",
        "part = {'_target_': 'missrec.app.sweep.SweepTable'}",
    ],
)
def test_any_way_to_name_a_module_is_seen(source: str) -> None:
    assert {layer_of(name) for name in named(source, "missrec.data.domain")} == {"app"}


def test_relative_imports_start_at_the_folder_of_the_file() -> None:
    source = "from . import own\nfrom .own import A\nfrom ..domain import B"
    expected = {"missrec.data.sources.own", "missrec.data.sources.own.A", "missrec.data.domain.B"}
    assert named(source, "missrec.data.sources.lines") == expected
    assert named(source, "missrec.data.sources", is_package=True) == expected
    assert not named(
        "import os\n'missrec'\n'no missrec.app'\nfrom os import path", "missrec.data.x"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_file_names_only_layers_above(path: Path) -> None:
    module = module_of(path)
    own = layer_of(module)
    for name in named(path.read_text(), module, is_package=path.name == "__init__.py"):
        other = layer_of(name)
        for layer, inside in INSIDE.items():
            if module.startswith(layer) and not module.startswith(inside):
                assert not name.startswith(inside), f"{path.name} names {name}"
        if own == other or not own or (own, other) in TYPES_ONLY:
            continue
        assert LAYERS.index(other) < LAYERS.index(own), f"{path.name} names {name}"
        assert not {own, other} <= SIBLINGS, f"{path.name} names {name}"


COMMAND_WORDS = re.compile(
    r"python src/|\b(data|encoder|images|inputs|model|paths|search|split|trainer)([./]\w+)*="
)
SHOW_COMMANDS = {"report", "runs"}
"""What they make for a reader are commands."""


def test_errors_below_the_app_hold_no_words_of_a_command_line() -> None:
    checked = 0
    for path in FILES:
        if layer_of(module_of(path)) in {"app", *SHOW_COMMANDS}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise):
                checked += 1
                said = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                assert not any(COMMAND_WORDS.search(str(text)) for text in said), (path, said)
    assert checked > 100


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)
    elif isinstance(value, str):
        yield value


def test_the_parts_that_conf_names_are_below_the_app_but_for_hydra_s_own() -> None:
    found: list[str] = []
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        config = yaml.safe_load(path.read_text()) or {}
        config.pop("hydra", None)
        found += filter(is_ours, strings(config))
    assert {"models", "data", "tracking"} <= set(map(layer_of, found)) <= set(LAYERS) - {"app"}


def test_doors_are_short_and_import_the_app_alone() -> None:
    doors = sorted(SRC.glob("*.py"))
    assert doors
    for door in doors:
        assert len(door.read_text().splitlines()) <= 40
        assert {layer_of(name) for name in named(door.read_text(), door.stem)} == {"app"}


def test_no_model_inherits_from_another() -> None:
    bases = {
        node.name: [ast.unparse(base) for base in node.bases]
        for path in sorted((SRC / "missrec" / "models").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    assert {"MISSRec", "SASRec", "UniSRec", "VQRec"} <= bases.keys()
    assert all(set(of) <= {"nn.Module", "NamedTuple"} for of in bases.values()), bases
