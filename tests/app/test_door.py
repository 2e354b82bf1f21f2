"""The doors as processes: what a user sees of a mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


def door(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


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
        ("train", ["trainer.devices=2", "trainer.accelerator=cpu"], "need trainer=ddp"),
        ("prepare", ["data=scientific", "paths.shared_dir={tmp}/none"], "paths.shared_dir="),
        ("prepare", ["data=amazon2018/category"], "data.category"),
        (
            "prepare",
            [
                "data=amazon2018/arts",
                "data.base_url=http://127.0.0.1:9/a",
                "data.sources.arts.downloader.max_tries=1",
            ],
            "Arts_Crafts_and_Sewing.csv: ",
        ),
        ("prepare", ["data=own", "data.interactions.path={tmp}/a.csv"], "data.items.path=<file>"),
        (
            "prepare",
            ["data=own", "data.interactions.path={tmp}/a.csv", "data.items.path={tmp}/b.csv"],
            "a.csv is missing",
        ),
        ("prepare", ["verify={tmp}/none"], "manifest.json is missing"),
        ("prepare", ["export={tmp}/none", "to={tmp}"], "must name a new folder"),
        ("evaluate", ["run={tmp}"], "must name the folder of a training run"),
        ("evaluate", [], "run"),
        ("evaluate", ["run=[a,b]"], "add against="),
        ("evaluate", ["run={tmp}/a*", "against={tmp}"], "matches no run folder"),
        ("evaluate", ["run={tmp}", "against={tmp}"], "only a finished run can be compared"),
        ("report", ["runs={tmp}"], "no finished run"),
        ("report", ["runs={tmp}/none"], "matches no run folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, name: str, arguments: list[str], said: str
) -> None:
    places = [f"paths.log_dir={tmp_path}/logs"]
    if not any("data_dir" in argument for argument in arguments):
        places.append(f"paths.data_dir={tmp_path}/data")
    result = door(name, *[a.format(tmp=tmp_path) for a in arguments], *places)
    assert result.returncode == 2, result.stderr
    last_line = result.stderr.strip().splitlines()[-1]
    assert last_line.startswith("error: ")
    assert said in last_line
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = door("evaluate", f"run={tmp_path}", "debug=true", f"paths.log_dir={tmp_path}/logs")
    assert result.returncode != 0
    assert "Traceback" in result.stderr


@pytest.mark.parametrize("name", ["train", "prepare", "extract", "evaluate", "report"])
def test_help_shows_an_example(name: str) -> None:
    result = door(name, "--help")
    assert result.returncode == 0
    assert f"python src/{name}.py" in result.stdout
