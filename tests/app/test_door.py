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
    ("name", "arguments", "said"),
    [
        ("train", ["model.embed_dimm=3"], "embed_dimm"),
        ("train", ["experiment=nowhere"], "nowhere"),
        ("train", ["model.network.block.num_heads=7"], "num_heads (7) must divide"),
        ("train", ["+model.depth=3"], "unexpected keyword argument 'depth'"),
        ("train", ["optimizer.lr=fast"], "optimizer.lr (fast)"),
        ("train", ["data=scientific", "paths.data_dir={tmp}/data"], "prepare.py data=scientific"),
        ("train", ["resume={tmp}"], "config.yaml is missing"),
        ("train", ["experiment=finetune"], "pretrained=logs/pretrain/<run>"),
        ("train", ["experiment=finetune", "pretrained={tmp}/none"], "neither a run folder nor"),
        ("train", ["trainer.devices=2", "trainer.accelerator=cpu"], "use trainer=ddp"),
        ("prepare", ["data=scientific", "paths.shared_dir={tmp}/none"], "paths.shared_dir="),
        (
            "prepare",
            ["data=amazon"],
            "error: data.category has no value; add data.category=<value>",
        ),
        ("train", ["data=amazon"], "error: data.category has no value; add data.category=<value>"),
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
        (
            "prepare",
            ["data=own", "data.items.texts=title,brand"],
            "data.items.texts has several values: title,brand; type 'data.items.texts=[",
        ),
        ("prepare", ["data=own", "data.name=nan"], "data.name (nan) is read as a number"),
        ("prepare", ["data=own", "data.name=a/b"], "data.name ('a/b') has a slash"),
        ("prepare", ["data=amazon", "data.category=../x"], "('amazon2018_../x') has a slash"),
        ("extract", ["data=own", "data.name=../x"], "data.name ('../x') has a slash"),
        ("train", ["data=own", "data.name=.."], "data.name ('..') begins with a dot"),
        ("train", ["+trainer.fast_dev_run=true"], "for one quick batch of everything: trainer."),
        ("train", ["+trainer.limit_val_batches=0"], "trainer.limit_val_batches (0) must be"),
        ("train", ["metrics.cutoffs=[5]"], "val/ndcg@10 is not measured; did you mean val/ndcg@5"),
        ("train", ["split=files"], "name it: split=files split.val=<file> split.test=<file>"),
        ("train", ["split=users", "split.val=0.5", "split.test=0.5"], "whose sum is below 1"),
        ("train", ["split=global_time", "split.val_from=2018-13-01"], "or two dates such as"),
        ("tune", ["trainer.max_epochs=0"], "trainer.max_epochs (0) must be a whole number"),
        ("evaluate", ["run={tmp}/lr=0.1 (2)"], "lr=0.1 (2)"),
        ("prepare", ["verify={tmp}/none"], "manifest.json is missing"),
        ("prepare", ["export={tmp}/none", "to={tmp}"], "must name a new folder"),
        ("evaluate", ["run={tmp}"], "must name the folder of a training run"),
        ("evaluate", [], "error: run has no value; add run=<value>"),
        ("evaluate", ["run=[a,b]"], "add against="),
        ("evaluate", ["run={tmp}/a*", "against={tmp}"], "matches no run folder"),
        ("evaluate", ["run={tmp}", "against={tmp}"], "names no folder of a run"),
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
    result = call(name, *[a.format(tmp=tmp_path) for a in arguments], *places)
    assert result.code == 2, result.stderr
    last_line = result.stderr.strip().splitlines()[-1]
    assert last_line.startswith("error: ")
    assert said in last_line
    assert "Traceback" not in result.stderr


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
    ours = call("report", "--help", *further)
    monkeypatch.setattr("missrec.app.door.help_text", lambda *_: None)
    assert call("report", "--help", *further) == ours
    assert f"debug: {str(bool(further)).lower()}" in ours.stdout


def test_every_module_of_the_app_is_imported_without_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PROJECT_ROOT", raising=False)
    modules = sorted((ROOT / "src" / "missrec" / "app").glob("*.py"))
    assert "sweep.py" in [path.name for path in modules]
    for path in modules:
        runpy.run_path(str(path), run_name=f"imported_{path.stem}")
