"""The doors: what a user sees of a mistake."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from doors import Ended, call


def process(name: str, *arguments: str) -> Ended:
    command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    "name", ["nan", "..", "../x", "a/b", "'a '", "raw", "codes", "1_000", "1e5", "x" * 121]
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    places = [f"paths.{place}_dir={tmp_path}/{place}" for place in ("log", "data")]
    assert call("prepare", "data=own", f"data.name={name}", *places).code == 2
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_mistake_ends_the_process_with_code_2_and_debug_shows_its_traceback(
    tmp_path: Path,
) -> None:
    mistake = ("evaluate", f"run={tmp_path}", f"paths.log_dir={tmp_path}/logs")
    ended = process(*mistake)
    assert ended.code == 2
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr
    ended = process(*mistake, "debug=true")
    assert ended.code == 1
    assert "Traceback" in ended.stderr


@pytest.mark.parametrize("name", ["train", "prepare", "extract", "evaluate", "report"])
def test_an_option_may_come_after_a_setting(name: str) -> None:
    result = call(name, "debug=true", "--cfg", "job", "--resolve", "debug=false")
    assert (result.code, result.stderr) == (0, "")
    assert "debug: false" in result.stdout


@pytest.mark.parametrize("name", ["train", "prepare", "extract", "evaluate", "report"])
def test_help_shows_an_example(name: str) -> None:
    result = call(name, "--help")
    assert result.code == 0
    assert f"python src/{name}.py" in result.stdout


@pytest.mark.parametrize("further", [(), ("--resolve", "debug=true")])
def test_help_is_what_hydra_would_show(
    further: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = call("report", "--help=all", *further)
    monkeypatch.setattr("missrec.app.command_line.door.help_text", lambda *_: None)
    assert call("report", "--help", *further) == ours
    assert f"debug: {str(bool(further)).lower()}" in ours.stdout


def test_help_tells_ten_settings_with_their_meaning_and_where_the_others_are() -> None:
    shown = call("train", "--help", "model=sasrec", "optimizer.lr=0.01").stdout
    settings = shown.partition("Settings (key=value):")[2]
    rows = [line.split(maxsplit=1) for line in settings.splitlines() if line.startswith("  ")]
    meanings = dict(row for row in rows if len(row) == 2)
    assert meanings["optimizer.lr=0.01"].startswith("above 0; learning rate")
    assert meanings["model.embed_dim=300"].startswith("at least 1; width of the model")
    assert len(rows) == 10
    assert "--help=all shows all" in settings
    assert "weight_decay" not in settings
    assert "weight_decay" in call("train", "--help=all").stdout


def test_help_of_a_command_with_few_settings_tells_all_of_its_own() -> None:
    shown = call("evaluate", "--help").stdout
    assert "run=???" in shown
    assert "folder of a training run; to compare, also a pattern" in shown


def test_every_module_of_the_app_is_imported_without_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PROJECT_ROOT", raising=False)
    modules = sorted((ROOT / "src" / "missrec" / "app").glob("*.py"))
    assert "sweep.py" in [path.name for path in modules]
    for path in modules:
        runpy.run_path(str(path), run_name=f"imported_{path.stem}")
