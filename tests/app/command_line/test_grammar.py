"""Names with letters that Hydra's grammar has no place for, on the command line of every door."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from missrec.app.command_line.grammar import ambiguous, options_first, parsable_arguments


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
        ('["x,y.csv",a=b (1).csv]', ["x,y.csv", "a=b (1).csv"]),
        ("['x, (2).csv',a=b (1).csv]", ["x, (2).csv", "a=b (1).csv"]),
        ("[it's.csv,a=b.csv]", ["it's.csv", "a=b.csv"]),
        (r"['it\'s,x.csv',a=b.csv]", ["it's,x.csv", "a=b.csv"]),
        ("[[a,b],c=d.csv]", [["a", "b"], "c=d.csv"]),
        ("[a[1].csv,b=2.csv]", ["a[1].csv", "b=2.csv"]),
        ("[a].csv,b=2.csv]", ["a].csv", "b=2.csv"]),
        ("{text: v (1)=x.npy}", {"text": "v (1)=x.npy"}),
        ("{text: v=1.npy, image: é.npy}", {"text": "v=1.npy", "image": "é.npy"}),
        ('{text: "a,b.npy", image: é.npy}', {"text": "a,b.npy", "image": "é.npy"}),
        ("{text: a,b.npy}", {"text": "a,b.npy"}),
        ("{text: [a,b=1.npy], image: c}", {"text": ["a", "b=1.npy"], "image": "c"}),
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
        "texts=title,brand",
        "texts=title, brand",
        "path=a/b.csv,c.csv",
        "texts='a b',c",
        "texts=[a b],[c]",
    ],
)
def test_what_hydra_takes_or_should_complain_of_stays(argument: str) -> None:
    assert parsable_arguments([argument]) == [argument]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("data=a -m seed=1,2", "-m data=a seed=1,2"),
        ("data=a seed=1,2 --multirun", "--multirun data=a seed=1,2"),
        ("-m data=a", "-m data=a"),
        ("data=a --cfg job seed=1", "--cfg job data=a seed=1"),
        ("data=a --cfg=job seed=1", "--cfg=job data=a seed=1"),
        ("data=a -c job -m ~x -p data seed=1", "-c job -m -p data data=a ~x seed=1"),
        ("data=a --info seed=1", "--info data=a seed=1"),
        ("data=a --info all seed=1", "--info all data=a seed=1"),
        ("data=a ~data.time +b=-1", "data=a ~data.time +b=-1"),
        ("", ""),
    ],
)
def test_options_may_stand_anywhere(typed: str, meant: str) -> None:
    assert options_first(typed.split()) == meant.split()


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


@pytest.mark.parametrize("value", ["%m %d, %Y", "%d,%m,%Y", "%A, %d %B", "a b, c"])
def test_a_text_with_commas_is_one_where_nothing_is_swept(value: str) -> None:
    argument = f"data.interactions.time_format={value}"
    (text,) = parsable_arguments([argument])
    assert OverridesParser.create().parse_override(text).value() == value
    for sweeps in ("-m", "--multirun", "hydra.mode=MULTIRUN", "sweep=ablations"):
        assert parsable_arguments([sweeps, argument])[1] == argument


def test_files_that_are_there_are_named_in_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x,y.csv", "a.csv", "b.csv", "a.csv,b.csv", "p, q, r.csv"):
        (tmp_path / name).touch()
    for value, meant in [
        ("[x,y.csv]", ["x,y.csv"]),
        ("[a.csv,x,y.csv]", ["a.csv", "x,y.csv"]),
        ("[x,y.csv, c=d.csv]", ["x,y.csv", "c=d.csv"]),
        ("[p, q, r.csv,b.csv]", ["p, q, r.csv", "b.csv"]),
        ("[a.csv,b.csv]", ["a.csv", "b.csv"]),
        ("['x',y.csv]", ["x", "y.csv"]),
    ]:
        (argument,) = parsable_arguments([f"path={value}"])
        assert OverridesParser.create().parse_override(argument).value() == meant


def test_several_values_are_told_with_what_to_type() -> None:
    said = ambiguous("Ambiguous value for argument 'data.items.texts=title,brand'\n1. To use it")
    assert said is not None
    assert "type 'data.items.texts=[title,brand]' for a list" in said
    assert """'data.items.texts="title,brand"' for one text""" in said
    assert "or add -m" in said
    assert ambiguous("another") is None
