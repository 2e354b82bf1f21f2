"""The layers of CONTRIBUTING.md: a folder imports only from folders above it in the list."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
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
    "runs",
    "report",
    "search",
    "tracking",
    "app",
)
SIBLINGS = {"training", "report"}
TYPES_ONLY = {("types", "features")}  # under TYPE_CHECKING: the catalogue names its feature table
FILES = sorted((SRC / "missrec").rglob("*.py"))


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("missrec.")
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_file_imports_only_from_layers_above(path: Path) -> None:
    own = layer_of(".".join(path.relative_to(SRC).with_suffix("").parts))
    for module in imports(path):
        other = layer_of(module)
        if own == other or not own or (own, other) in TYPES_ONLY:
            continue
        assert LAYERS.index(other) < LAYERS.index(own), f"{path.name} imports {module}"
        assert not {own, other} <= SIBLINGS, f"{path.name} imports {module}"


def test_doors_are_short_and_import_the_app_alone() -> None:
    doors = sorted(SRC.glob("*.py"))
    assert doors
    for door in doors:
        assert len(door.read_text().splitlines()) <= 40
        assert all(layer_of(module) == "app" for module in imports(door))


def test_no_model_inherits_from_another() -> None:
    bases = {
        node.name: [ast.unparse(base) for base in node.bases]
        for path in sorted((SRC / "missrec" / "models").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    assert {"MISSRec", "SASRec", "UniSRec", "VQRec"} <= bases.keys()
    assert all(set(of) <= {"nn.Module", "NamedTuple"} for of in bases.values()), bases
