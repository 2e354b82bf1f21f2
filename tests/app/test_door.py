"""The doors: what a user sees of a mistake."""

from __future__ import annotations

import logging
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT


class Ended(NamedTuple):
    """How a command ended."""

    code: object
    stdout: str
    stderr: str


Door = Callable[..., Ended]


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Door]:
    """`door("train", "model=sasrec")`, in this process, which has what is heavy at hand."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # the doors set it if nobody has
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def call(name: str, *arguments: str) -> Ended:
        script = str(ROOT / "src" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        code: object = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        return Ended(code, *capsys.readouterr())

    yield call
    for handler in set(root.handlers) - set(handlers):  # Hydra's
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def process(name: str, *arguments: str) -> Ended:
    command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("train", ["model.embed_dimm=3"], "embed_dimm"),
        ("train", ["experiment=nowhere"], "nowhere"),
        ("train", ["model.network.block.num_heads=7"], "num_heads (7) must divide"),
        ("train", ["+model.depth=3"], "unexpected keyword argument 'depth'"),
        ("train", ["optimizer.lr=fast"], "optimizer:"),
        ("train", ["data=scientific", "paths.data_dir={tmp}/data"], "prepare.py data=scientific"),
        ("train", ["resume={tmp}"], "config.yaml is missing"),
        ("train", ["experiment=finetune"], "pretrained=logs/pretrain/<run>"),
        ("train", ["experiment=finetune", "pretrained={tmp}/none"], "neither a run folder nor"),
        ("train", ["trainer.devices=2", "trainer.accelerator=cpu"], "use trainer=ddp"),
        ("prepare", ["data=scientific", "paths.shared_dir={tmp}/none"], "paths.shared_dir="),
        ("prepare", ["data=amazon"], "data.category"),
        (
            "prepare",
            [
                "data=amazon",
                "data.category=arts",
                "data.base_url=http://127.0.0.1:9/a",
                "data.sources.amazon.downloader.max_tries=1",
            ],
            "Arts_Crafts_and_Sewing.csv: ",
        ),
        ("prepare", ["data=own"], "data.interactions.path=<file>"),
        (
            "prepare",
            ["data=own", "data.interactions.path={tmp}/x=1 (2).csv"],
            "x=1 (2).csv is missing",
        ),
        ("evaluate", ["run={tmp}/lr=0.1 (2)"], "lr=0.1 (2)"),
        ("prepare", ["verify={tmp}/none"], "manifest.json is missing"),
        ("prepare", ["export={tmp}/none", "to={tmp}"], "must name a new folder"),
        ("evaluate", ["run={tmp}"], "must name the folder of a training run"),
        ("evaluate", [], "run"),
        ("evaluate", ["run=[a,b]"], "add against="),
        ("evaluate", ["run={tmp}/a*", "against={tmp}"], "matches no run folder"),
        ("evaluate", ["run={tmp}", "against={tmp}"], "names no folder of a run"),
        ("report", ["runs={tmp}"], "no finished run"),
        ("report", ["runs={tmp}/none"], "matches no run folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, door: Door, name: str, arguments: list[str], said: str
) -> None:
    places = [f"paths.log_dir={tmp_path}/logs"]
    if not any("data_dir" in argument for argument in arguments):
        places.append(f"paths.data_dir={tmp_path}/data")
    result = door(name, *[a.format(tmp=tmp_path) for a in arguments], *places)
    assert result.code == 2, result.stderr
    last_line = result.stderr.strip().splitlines()[-1]
    assert last_line.startswith("error: ")
    assert said in last_line
    assert "Traceback" not in result.stderr


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
def test_help_shows_an_example(door: Door, name: str) -> None:
    result = door(name, "--help")
    assert result.code == 0
    assert f"python src/{name}.py" in result.stdout


def test_every_module_of_the_app_is_imported_without_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PROJECT_ROOT", raising=False)
    modules = sorted((ROOT / "src" / "missrec" / "app").glob("*.py"))
    assert "sweep.py" in [path.name for path in modules]
    for path in modules:
        runpy.run_path(str(path), run_name=f"imported_{path.stem}")
