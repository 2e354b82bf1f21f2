"""The notebook runs, cell after cell, on a run of the demo."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import ROOT

NOTEBOOK = ROOT / "examples" / "a_run_in_python.ipynb"
KEPT = ROOT / "tests" / "kept_runs" / "format_0"


def test_the_notebook_runs_on_a_run_of_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(KEPT / "data", tmp_path / "data")
    shutil.copytree(
        KEPT / "logs" / "demo" / "missrec_s1", tmp_path / "logs" / "demo" / "missrec_s1"
    )
    monkeypatch.chdir(tmp_path)
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    codes = ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "code"]
    names: dict[str, Any] = {}
    shown = []
    for code in codes:
        *statements, last = code.splitlines()
        exec("\n".join(statements), names)
        shown.append(eval(last, names))
    assert len(shown) == 7
    recommended, explained, similar, blind = shown[2:6]
    assert recommended["rank"].to_list() == [1, 2, 3, 4, 5]
    assert recommended["title"].null_count() == 0
    assert explained.filter(kind="score")["name"].item() == recommended["item"][0]
    assert len(similar) == 3
    assert blind["score"].to_list() != recommended["score"].to_list()
    assert isinstance(shown[-1], pl.DataFrame)
    assert all(cell.get("outputs", []) == [] for cell in content["cells"])  # none goes stale
