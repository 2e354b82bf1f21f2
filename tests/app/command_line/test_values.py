"""What `conf/` declares of the values of its settings."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

from missrec.app.command_line.choices import choices
from missrec.app.command_line.values import (
    _ONE_OF,
    _RANGE,
    _declared,
    _within,
    check_values,
    comments,
)


@pytest.mark.parametrize(
    ("words", "inside", "outside"),
    [
        ("above 0", [0.1, 5, float("inf")], [0, -1]),
        ("at least 1", [1, 2], [0, 0.5]),
        ("from 0 to 1", [0, 1, 0.5], [-0.1, 1.1]),
        ("from 0 below 1", [0, 0.9], [1, -1]),
        ("above 0 up to 1", [0.1, 1], [0, 1.1]),
    ],
)
def test_a_range_is_what_its_words_say(
    words: str, inside: list[float], outside: list[float]
) -> None:
    holds = _within(words)
    assert all(map(holds, inside))
    assert not any(map(holds, outside))


@pytest.mark.parametrize(
    "argument",
    [
        "optimizer.lr=1",
        "model.interests.clustering.num_neighbors=0.1",  # a share; elsewhere at least 1
        "optimizer.lr=${model.temperature}",
        "trainer.max_epochs=null",
        "split.val=targets.csv",  # a number elsewhere
        "split.val_from=2018-01-01",  # its comment says: or a date
        "trainer.devices=auto",
        "trainer.precision=32",
        "users=keys.txt",
        "optimizer.lr=interval(0.1,1)",
        "datamodule.batch_size=choice(8,16)",
        "metrics.cutoffs=5,10",  # Hydra says that it is a list
        "logger=mlflow",
    ],
)
def test_what_a_setting_can_be_passes(argument: str) -> None:
    check_values([argument], choices("train"))


def test_every_value_in_conf_is_in_its_own_range() -> None:
    ranged = {name: one for name, one in _declared().items() if one.ranges}
    assert {"lr", "seed", "batch_size", "dropout_prob"} <= ranged.keys()
    seen = 0
    for path in ROOT.glob("conf/**/*.yaml"):
        for name, value in re.findall(r"^ *(\w+): ([-\d.e_]+)(?: |$)", path.read_text(), re.M):
            if name in ranged:
                seen += 1
                allowed = ranged[name].ranges
                assert any(_within(words)(float(value)) for words in allowed), (path, name)
    assert seen > len(ranged)


def test_words_of_a_range_and_a_choice_are_read_from_comments() -> None:
    assert _RANGE.match("at least 1; k of recall@k") is not None
    assert _ONE_OF.findall("a: x # @neutral; one of x, y; which") == [("a", "x, y")]
    meanings = comments(ROOT / "conf" / "train.yaml")
    assert meanings["seed"].startswith("from 0 to 4294967295; of the first weights")
    assert "@" not in meanings["pretrained"]
