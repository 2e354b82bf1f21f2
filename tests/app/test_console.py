"""The installed command: what it says, where its project is, and that a wheel has all it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from doors import call, call_console
from missrec.app.command_line import project
from missrec.app.command_line.invocation import CONSOLE, another_process, as_started
from missrec.app.command_line.project import conf_dir, project_dir
from missrec.app.commands import COMMANDS

TINY = (
    "experiment=demo",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "logger=csv",
    "model.embed_dim=8",
    "data.sources.demo_office.num_users=60",
    "data.sources.demo_office.num_items=40",
)


def test_each_door_is_a_command_with_a_config_and_the_other_way_round() -> None:
    doors = {path.stem for path in (ROOT / "src").glob("*.py")}
    assert doors == COMMANDS.keys()
    for name in doors:
        assert (ROOT / "conf" / f"{name}.yaml").is_file()
        assert f'run_command("{name}")' in (ROOT / "src" / f"{name}.py").read_text()


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_help_lists_each_command_with_the_header_of_its_config(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ended = call_console(*arguments, project=tmp_path)
    assert ended.code == 0
    lines = [line.split(maxsplit=1) for line in ended.stdout.splitlines()]
    for name in COMMANDS:
        config = yaml.safe_load((ROOT / "conf" / f"{name}.yaml").read_text())
        assert [name, config["hydra"]["help"]["header"]] in lines


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    ended = call_console("--version", project=tmp_path)
    assert ended.code == 0
    assert ended.stdout.startswith("missrec 0.")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("trian", "error: missrec has no command trian; did you mean train?\n"),
        ("evalute", "error: missrec has no command evalute; did you mean evaluate?\n"),
        ("Export", "error: missrec has no command Export; did you mean export?\n"),
        ("seed=1", "error: missrec has no command seed=1; it has prepare, extract, train"),
    ],
)
def test_a_command_that_there_is_not_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    ended = call_console(name, project=tmp_path)
    assert ended.code == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(said)
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["recommend", "train"])  # a process each; one way makes all
def test_the_help_of_a_command_names_it_as_the_user_started_it(tmp_path: Path, name: str) -> None:
    by_console = call_console(name, "--help", project=tmp_path)
    assert by_console.code == 0
    assert f"missrec {name}" in by_console.stdout
    assert "python src/" not in by_console.stdout
    assert f"python src/{name}.py" in call(name, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "data=scientific"), "make it with `missrec prepare data=scientific`"),
        (("report", "runs={tmp}"), "make one, such as missrec train experiment=demo"),
        (("evaluate", "run=x"), "run must name the folder of a training run"),
    ],
)
def test_remedies_name_commands_as_the_user_started_them(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = call_console(*(a.format(tmp=tmp_path) for a in arguments), project=tmp_path)
    assert ended.code == 2
    assert said in ended.stderr.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} <= {"logs"}


def test_texts_are_as_they_were_where_a_door_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "make it with `python src/prepare.py data=x`, then python src/train.py data=x"
    monkeypatch.delenv(CONSOLE, raising=False)
    assert as_started(text) == text
    monkeypatch.setattr(sys, "argv", ["src/train.py"])
    assert another_process("train") == [sys.executable, "src/train.py"]
    monkeypatch.setenv(CONSOLE, "1")
    assert as_started(text) == "make it with `missrec prepare data=x`, then missrec train data=x"
    assert another_process("train") == [sys.executable, "-P", "-m", "missrec", "train"]


def test_conf_is_the_project_s_own_or_that_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path))
    assert project_dir() == tmp_path
    assert conf_dir() == ROOT / "conf"
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "train.yaml").write_text("somebody: else\n")
    assert conf_dir() == ROOT / "conf"
    (tmp_path / "conf" / "known_domains.yaml").touch()
    assert conf_dir() == tmp_path / "conf"
    assert conf_dir(ROOT) == ROOT / "conf"


def test_the_conf_of_an_installed_package_lies_inside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "missrec" / "conf").mkdir(parents=True)
    monkeypatch.setattr(project, "_PACKAGE", tmp_path / "missrec")
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path / "shop"))
    monkeypatch.delenv(CONSOLE, raising=False)
    assert conf_dir() == tmp_path / "missrec" / "conf"
    assert as_started("python src/train.py") == "missrec train"  # there is no other way


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as a wheel installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = Path(sys.executable).parent / "uv"
    if not uv.is_file():
        pytest.skip("make setup puts uv beside Python")
    build = [uv, "build", "--quiet", "--offline", "--wheel", "--out-dir", folder, ROOT]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    if built.returncode and "hatchling" in built.stderr:
        pytest.skip("hatchling is in no cache of uv")
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder / "installed")
    return folder / "installed"


@pytest.mark.slow
def test_a_wheel_has_all_of_conf_and_nothing_that_git_ignores(installed: Path) -> None:
    def files(conf: Path) -> set[Path]:
        found = {path.relative_to(conf) for path in conf.rglob("*") if path.is_file()}
        return {path for path in found if path.parts[0] != "local"}

    assert files(installed / "missrec" / "conf") == files(ROOT / "conf")
    assert not (installed / "missrec" / "conf" / "local").exists()
    (entries,) = installed.glob("*.dist-info/entry_points.txt")
    assert "missrec = missrec.app.console:main" in entries.read_text()


@pytest.mark.slow
def test_an_installed_package_trains_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PROJECT_ROOT"}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "missrec", "train", *TINY],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"data", "logs"}
    (metrics,) = tmp_path.glob("logs/demo/*/metrics.json")
    assert str(tmp_path) in (metrics.parent / "config.yaml").read_text()
    made = json.loads((metrics.parent / "provenance.json").read_text())
    assert made["git"] == {"commit": None, "dirty": None}
    assert made["packages"]["missrec"].startswith("0.")
