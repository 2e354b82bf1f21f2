"""The settings that make a row, and the commands of conf/paper.yaml as Hydra composes them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from missrec.app.rows import RowCommands
from missrec.app.session import compose_train
from missrec.report.paper import read_paper
from missrec.runs.groups import Setup
from missrec.runs.marks import read_marks
from missrec.runs.settings import UNMARKED, comparable_settings
from run_folders import ROOT, SETUP, run_config

CONTENT: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "paper.yaml"))
PAPER = read_paper(CONTENT)
MARKS = read_marks(ROOT / "conf").of_rows()
SETUPS = sorted(
    {
        setup
        for table in PAPER.tables
        for variant in table.variants
        for row in table.rows
        if (setup := row.setup(variant, "scientific"))
    }
)
HAS_MODEL = {setup: (ROOT / "conf" / "model" / f"{setup.model}.yaml").is_file() for setup in SETUPS}


def settings(*overrides: str, **changes: Any) -> dict[str, str]:
    return comparable_settings(run_config(*overrides, **changes), marks=MARKS)


def commands() -> RowCommands:
    return RowCommands(ROOT, marks=MARKS)


@pytest.mark.parametrize("setup", SETUPS, ids=lambda s: "-".join(map(str, s)))
def test_the_command_of_a_row_makes_runs_of_that_row_with_its_settings(setup: Setup) -> None:
    command = commands().command(setup, "scientific", [1, 2])
    if not HAS_MODEL[setup]:
        assert command == f"# this checkout has no model={setup.model}"
        pytest.skip(f"no conf/model/{setup.model}.yaml")
    door, *overrides = shlex.split(re.sub("<.*>", "logs/pretrain/x", command))[1:]
    assert door == "src/train.py"
    assert overrides[0] == "-m"
    assert overrides[-1] == "seed=1,2"
    cfg = compose_train(
        ROOT, [*overrides[1:-1], f"names.model={setup.model}", "names.experiment=x", "run_dir=/run"]
    )
    made = (cfg.names.model, cfg.inputs.name, cfg.transfer.name, cfg.names.ablation)
    assert Setup(*made, pretrained=bool(cfg.pretrained), data=cfg.data.name) == setup
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    assert commands().differences(setup, comparable_settings(resolved, marks=MARKS)) == ()


@pytest.mark.parametrize("overrides", [["sweep=table3"], ["hydra/launcher=gpus"]])
def test_the_jobs_of_a_sweep_are_as_the_command_of_their_row(overrides: list[str]) -> None:
    row = ["experiment=scratch", "data=scientific", "transfer=transductive"]
    assert commands().differences(SETUP, settings(*row, *overrides)) == ()


def test_some_rows_have_their_model() -> None:
    assert any(HAS_MODEL.values())


def test_a_pre_trained_row_says_which_pre_training_it_needs() -> None:
    setup = SETUP._replace(pretrained=True, ablation="no_contrast")
    assert shlex.split(commands().command(setup, "scientific", [1]))[-2] == (
        "pretrained=<run of experiment=pretrain model=missrec inputs=text_image "
        "ablation=no_contrast>"
    )


def test_one_seed_is_no_sweep_and_data_of_two_arguments_stays_two() -> None:
    command = commands().command(SETUP, "own data.name=office", [3])
    assert command == (
        "python src/train.py experiment=scratch data=own data.name=office model=missrec "
        "inputs=text_image transfer=transductive ablation=full seed=3"
    )


def test_a_command_to_copy_runs_nothing_that_a_config_smuggled_in() -> None:
    command = commands().command(SETUP, "$(touch x); rm -rf *", [1])
    assert shlex.split(command)[3:8] == ["data=$(touch", "x);", "rm", "-rf", "*"]
    assert "'data=$(touch'" in command
    missing = commands().command(SETUP._replace(model="../model/missrec"), "a", [1])
    assert missing.startswith("# this checkout has no model=")


def test_seed_place_and_logger_are_no_settings() -> None:
    one = settings("data=scientific", seed=1)
    moved = run_config("data=scientific", "logger=csv", seed=2)
    text = OmegaConf.to_yaml(OmegaConf.create(moved))
    text = text.replace(str(ROOT), "/home/me/missrec").replace("/run", "/home/me/missrec/logs/a")
    again: Any = OmegaConf.to_container(OmegaConf.create(text))
    assert one == comparable_settings(again, marks=MARKS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer__lr", 0.003),
        ("trainer__max_epochs", 3),
        ("metrics__filter_seen", True),
        ("callbacks__early_stopping", None),
        ("datamodule__batch_size", 64),
    ],
)
def test_what_can_change_a_result_is_a_setting_and_named_as_different(key: str, value: Any) -> None:
    config = run_config("data=scientific", "transfer=transductive", **{key: value})
    found = commands().differences(SETUP, comparable_settings(config, marks=MARKS))
    assert found is not None
    assert any(key.replace("__", ".") in difference for difference in found)
    stock = settings("data=scientific", "transfer=transductive")
    assert commands().differences(SETUP, stock) == ()


def test_differences_say_the_value_here_and_today_and_what_is_not_there() -> None:
    own = settings("data=scientific", "transfer=transductive", optimizer__lr=0.003)
    del own["datamodule.prefixes"]  # as a run from before there was a choice
    own["model.depth"] = '"two"'
    assert commands().differences(SETUP, own) == (
        "model.depth=two (unknown today)",
        "optimizer.lr=0.003 (0.001)",
        "without datamodule.prefixes",
    )


def test_what_cannot_be_composed_is_not_checked() -> None:
    for unknown in ({"model": "nobody"}, {"inputs": "x"}, {"ablation": "x"}):
        assert commands().differences(SETUP._replace(**unknown), {}) is None  # type: ignore[arg-type]


def test_whole_numbers_and_lists_are_compared_by_value() -> None:
    config = {"a": 1.0, "b": [1.0, "/runs/x"], "c": {}, "run_dir": "/runs", "d": "/runsy"}
    assert comparable_settings(config, marks=UNMARKED.ignoring(["run_dir"])) == {
        "a": "1",
        "b": '[1, "<run_dir>/x"]',
        "c": "{}",
        "d": '"/runsy"',
    }


def test_a_setting_that_came_later_marks_no_older_run_as_custom(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    train = tmp_path / "conf" / "train.yaml"
    text = "\nunsaid: 3\nsmoothing: 0.1 # @before 0.0\n"
    train.write_text(train.read_text().replace("\nmatmul_precision", f"{text}matmul_precision"))
    marks = read_marks(tmp_path / "conf").of_rows()
    today = RowCommands(tmp_path, marks=marks)
    run = run_config("data=scientific", "transfer=transductive")
    assert today.differences(SETUP, comparable_settings(run, marks=marks)) == ("smoothing=0 (0.1)",)
    del run["callbacks"]["early_stopping"]  # not because it is old
    changed = today.differences(SETUP, comparable_settings(run, marks=marks))
    assert changed is not None
    assert changed[-1].startswith("without callbacks.early_stopping._target_, ")
    assert "unsaid" not in changed[-1]
