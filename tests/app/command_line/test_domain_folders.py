"""`data=folders 'data.folders=[…]'`: names, the command told again, refusals, and a run on it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Compose
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from changed_data import timed_domain
from missrec.app.command_line.domain_folders import (
    absolute_folders,
    check_prepared,
    folders_choice,
    folders_name,
)
from missrec.app.command_line.grammar import as_word
from missrec.app.evaluate import evaluate
from missrec.app.prepare import prepare_data as make
from missrec.app.prepare import prepare_missing
from missrec.app.rows import RowCommands, known_splits
from missrec.app.session import compose_train, plain
from missrec.app.settings import read_run
from missrec.app.train import train
from missrec.data.split_domains import read_mixed
from missrec.data.splits import LeaveOneOut
from missrec.report.datasets import DataToday
from missrec.runs.finding import find_runs
from missrec.runs.marks import read_marks
from run_folders import SETUP
from run_settings import as_run, evaluation, prepare_data
from synthetic import write_domain_folder

NAMES = ("names.experiment=x", "names.model=missrec", "run_dir=/r")


def together(folders: list[Any], *overrides: str) -> Any:
    """The composed config of these folders."""
    values = ",".join(as_word(str(folder)) for folder in folders)
    return compose_train(ROOT, [*NAMES, "data=folders", f"data.folders=[{values}]", *overrides])


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(ROOT))
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("folders", "name", "choice"),
    [
        (
            ["data/toys", "data/sports"],
            "toys+sports",
            "folders 'data.folders=[data/toys,data/sports]'",
        ),
        ([ROOT / "data/toys/", "./x/../b"], "toys+b", "folders 'data.folders=[data/toys,b]'"),
        (["/elsewhere/toys"], "toys", "folders 'data.folders=[/elsewhere/toys]'"),
        (
            ["data/toys (1)", "/x/a=b"],
            "toys__1_+a_b",
            """folders 'data.folders=["data/toys (1)","/x/a=b"]'""",
        ),
        (["2018", "data/ü,ß"], "2018+ü_ß", """folders 'data.folders=["2018","data/ü,ß"]'"""),
    ],
)
def test_they_are_named_by_their_folders_and_their_choice_is_the_command_again(
    folders: list[Any], name: str, choice: str
) -> None:
    cfg = together(folders)
    assert (cfg.data.name, cfg.data.choice) == (name, choice)
    run = read_run(plain(cfg))
    assert (run.data.name, run.data.choice) == (name, choice)
    again = compose_train(ROOT, [*NAMES, *shlex.split(f"data={choice}")])
    assert read_run(plain(again)).data == run.data


@pytest.mark.parametrize("folder", ['a"b', "a\\", 'a\\"b', "a'b", "a b", "null", "1e3", "x[1],{y}"])
def test_a_folder_of_any_name_is_told_so_that_it_is_read_again(folder: str) -> None:
    choice = folders_choice([f"data/{folder}", folder])
    again = compose_train(ROOT, [*NAMES, *shlex.split(f"data={choice}"), "data.name=x"])
    assert list(again.data.folders) == [f"data/{folder}", folder]


def test_the_name_of_many_is_bounded_and_their_own() -> None:
    names = [folders_name([f"data/{kind}_{i}" for i in range(40)]) for kind in ("first", "other")]
    assert names[0].startswith("first_0+first_1")
    assert "-40_domains-" in names[0]
    assert max(len(name.encode()) for name in names) <= 60
    assert len({*names, folders_name([f"data/first_{i}" for i in range(41)])}) == 3


def test_another_name_is_a_part_of_the_command() -> None:
    cfg = together(["data/a", "data/b"], "data.name=sources")
    assert cfg.data.choice == "folders 'data.folders=[data/a,data/b]' data.name=sources"


def test_a_report_prints_the_command_whole() -> None:
    commands = RowCommands(ROOT, marks=read_marks(ROOT / "conf"))
    choice = folders_choice(["data/my toys", "data/b"])
    told = commands.command(SETUP._replace(data="x"), choice, [1])
    assert """data=folders 'data.folders=["data/my toys",data/b]' model=missrec""" in told


def test_folders_are_absolute_wherever_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = plain(together(["data/a", "b"]))
    expected = [str(tmp_path / "data" / "a"), str(tmp_path / "b")]
    assert config["data"]["folders"] == config["datamodule"]["folders"] == expected
    assert config["callbacks"]["interpretation"]["folders"] == expected


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ([], "data.folders is empty; name prepared folders, as in data=folders 'data.folders=["),
        ("data/toys", "data.folders (data/toys) must be a list of folders"),
        (None, "data.folders (None) must be a list of folders"),
        ([["a"]], "must be a list of folders"),
        ([None, "a"], "must be a list of folders"),
        (["data/a", "./data/b/../a/"], "data.folders names data/a twice"),
        (["data/a", "x/a"], "data.folders: data/a and x/a have one name"),
    ],
)
def test_what_is_no_list_of_different_folders_is_refused(folders: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        absolute_folders(folders)


@pytest.mark.parametrize("folders", [[], "data/toys", None, ["data/a", "x/a"], [["a"]]])
def test_what_is_refused_has_a_name_until_it_is(folders: Any) -> None:
    assert folders_name(folders) in {"none", "a+a", "__a__"}
    assert folders_choice(folders).startswith("folders ")


def test_a_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="twice"):
        absolute_folders([str(tmp_path / "a"), str(tmp_path / "b")])


def test_what_is_no_domain_folder_is_refused_with_those_there_are(tmp_path: Path) -> None:
    write_domain_folder(tmp_path / "data" / "toys", timed_domain("toys"))
    check_prepared(tmp_path / "data" / "toys")
    with pytest.raises(FileNotFoundError, match=r"data/tois is missing; .*/data has toys$"):
        check_prepared(tmp_path / "data" / "tois")
    with pytest.raises(ValueError, match=r"/data is no domain folder; .*/data has toys$"):
        check_prepared(tmp_path / "data")
    with pytest.raises(ValueError, match="is no domain folder; prepare it, see"):
        check_prepared(tmp_path)


def test_folders_that_other_data_does_not_make_are_chosen_by_data_folders(tmp_path: Path) -> None:
    given = ["data=own", "data.name=x", "data.folders=[data/toys,data/sports]"]
    given.append(f"data.sources.own.rejects.path={tmp_path}")  # Hydra knows it only in a run
    run = read_run(plain(compose_train(ROOT, [*NAMES, *given])))
    said = (
        "data=own data.name=x does not make data/toys; say data=folders 'data.folders=[data/toys,"
    )
    with pytest.raises(ValueError, match=re.escape(said)):
        prepare_missing(run.paths, run.data)
    run = read_run(plain(together(["data/toys"])))
    with pytest.raises(ValueError, match="nothing is to make"):
        make(run.paths, run.data)


def test_two_folders_of_one_domain_are_refused(tmp_path: Path) -> None:
    folder = write_domain_folder(tmp_path / "toys", timed_domain("toys"))
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(ValueError, match=r"/toys and .*/copy both hold a domain named toys"):
        read_mixed([folder, tmp_path / "copy"], LeaveOneOut())


def test_a_run_on_folders_at_any_place_is_evaluated_and_known_again(
    compose_tiny: Compose, tmp_path: Path
) -> None:
    folders = [tmp_path / "data" / "toys", tmp_path / "else where" / "sports"]
    for seed, folder in enumerate(folders):
        write_domain_folder(folder, timed_domain(folder.name, num_users=20 + seed))
    values = ",".join(as_word(str(folder)) for folder in folders)
    floor = ("model=nearest_neighbor", "experiment=scratch", "inputs=text", "transfer=inductive")
    cfg = compose_tiny(base=(*floor, "data=folders", f"data.folders=[{values}]"))
    prepare_data(cfg)
    assert as_run(cfg).data.name == "toys+sports"
    metrics = train(cfg)
    run_dir = Path(cfg.run_dir)
    recorded = json.loads((run_dir / "provenance.json").read_text())["data"]
    assert list(recorded) == ["toys", "sports"]

    # The folder in data_dir may have moved with it, the other is where it was.
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "data", moved)
    report = evaluate(evaluation(run_dir, moved))
    assert report["metrics"].items() <= metrics.items()
    (run,) = find_runs([run_dir], marks=read_marks(ROOT / "conf"), shown_from=tmp_path).finished
    assert (run.setup.data, run.data_choice) == ("toys+sports", as_run(cfg).data.choice)
    splits = known_splits(ROOT)
    assert DataToday(data_dir=moved, splits=splits).changes(run) == []
    shutil.rmtree(folders[1])
    write_domain_folder(folders[1], timed_domain("sports", num_users=30))
    (changed,) = DataToday(data_dir=moved, splits=splits).changes(run)
    assert changed.startswith("sports: interactions, users, split")


def test_a_stage_may_have_folders_of_its_own() -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(
            "train",
            [*NAMES, "stages=pretrain", 'stage_overrides=["data=folders","data.folders=[a/b,c]"]'],
        )
    stage = read_run(OmegaConf.to_container(cfg, resolve=True)).stages[0]
    settings = read_run(plain(compose_train(ROOT, [*NAMES, *stage.overrides])))
    assert settings.data.name == "b+c"
    assert settings.data.folders == [ROOT / "a" / "b", ROOT / "c"]
