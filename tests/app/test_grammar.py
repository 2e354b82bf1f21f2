"""Names with letters that Hydra's grammar has no place for, on the command line of every door."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from missrec.app.grammar import parsable_arguments


@pytest.mark.parametrize(
    "value",
    [
        "clicks (1).csv",
        "clicks(1).csv",
        "date=2024-01-01/part-0.csv",
        "logs/lr=0.1 (2)",
        "it's.csv",
        "é.csv",
        "~/a.csv",
        "a#b&c.csv",
        "[x] a.csv",
        "{x}.csv",
        ";",
        ",",
        "^A",
        " ",
        "\t",
        "a,b=1.csv",
    ],
)
def test_a_value_is_what_it_looks_like(value: str) -> None:
    (argument,) = parsable_arguments([f"data.interactions.path={value}"])
    assert OverridesParser.create().parse_override(argument).value() == value


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("[a (1).csv, b=2.csv]", ["a (1).csv", "b=2.csv"]),
        ("['a (1).csv',b=2.csv]", ["a (1).csv", "b=2.csv"]),
        ("[é.csv]", ["é.csv"]),
    ],
)
def test_a_list_is_a_list_of_such_values(value: str, meant: list[str]) -> None:
    (argument,) = parsable_arguments([f"path={value}"])
    assert OverridesParser.create().parse_override(argument).value() == meant


@pytest.mark.parametrize(
    "argument",
    [
        "seed=1,2",
        "ablation=glob(*)",
        "path='a (1).csv'",
        "images=[a,b]",
        "x={a: 1}",
        "name=${data.name}",
        "~data.time",
        "+a.b=null",
        "--config-name=train (1)",
        "-m",
        "seed=[1",
        "x={a=1}",
        "x='a",
        "no argument (1)",
        "two words=1 (2)=3",
    ],
)
def test_what_hydra_takes_or_should_complain_of_stays(argument: str) -> None:
    assert parsable_arguments([argument]) == [argument]


def test_a_sweep_over_odd_names_stays_a_sweep() -> None:
    swept = parsable_arguments(["-m", "run=logs/lr=0.1,logs/b"])
    assert swept == ["-m", "run='logs/lr=0.1',logs/b"]


def test_a_comma_in_the_name_of_a_file_that_is_there_divides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clicks, 2019.csv"
    argument = f"data.interactions.path={path}"
    assert parsable_arguments([argument]) == [argument]
    path.touch()
    (quoted,) = parsable_arguments([argument])
    assert OverridesParser.create().parse_override(quoted).value() == str(path)
