"""Names of data: what may be one is taken as it was typed, what may not is one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hydra.core.override_parser.overrides_parser import OverridesParser

from missrec.app.command_line.names import check_typed_names, domain_name
from missrec.app.session import compose_train, plain
from missrec.app.settings import read_data

OWN = ("data=own", "data.sources.own.rejects=null")
"""Hydra knows where rejects go only in a run."""


def typed(text: str) -> Any:
    """What Hydra makes of `data.name=<text>`."""
    return OverridesParser.create().parse_override(f"data.name={text}").value()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("office", "office"),
        ("2024", "2024"),
        ("007", "007"),
        ("-5", "-5"),
        ("on", "on"),
        ("2024-01-01", "2024-01-01"),
        ('"nan"', "nan"),
        ("'1e3'", "1e3"),
        ('"true"', "true"),
        ("'a b'", "a b"),
        ("'größe_日本'", "größe_日本"),
        ("rawdata", "rawdata"),
        ("x" * 120, "x" * 120),
    ],
)
def test_a_name_is_taken_as_it_was_typed(text: str, name: str) -> None:
    assert domain_name(typed(text)) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "nan",
            r"data.name \(nan\) is read as a number.*quote it twice, as in 'data.name=\"nan\"'",
        ),
        ("inf", "read as a number"),
        ("1e3", "read as a number"),
        ("1.50", "read as a number"),
        ("1e5", r"quote what you typed twice, as in 'data.name=\"<what you typed>\"'$"),
        ("true", r"\(true\) is read as a truth value"),
        ("False", r"\(false\) is read as a truth value"),
        ("null", "data.name is null; name the data"),
        ("", "is empty"),
        ("''", "is empty"),
        ("[a]", "must be a name"),
        ("{a: 1}", "must be a name"),
        (".", "begins with a dot"),
        ("..", "begins with a dot"),
        (".hidden", "begins with a dot"),
        ("a/b", "has a slash"),
        ("../x", "has a slash"),
        ("/tmp/x", "has a slash"),
        (r"'a\b'", "has a slash"),
        ("'a '", "begins or ends with a blank"),
        ("' a'", "begins or ends with a blank"),
        ("'a\tb'", "characters that cannot be seen"),
        ("'a\nb'", "characters that cannot be seen"),
        ("'a\x00b'", "characters that cannot be seen"),
        ("'a\u202eb'", "characters that cannot be seen"),
        ("raw", "is the folder of downloads"),
        ("Raw", "is the folder of downloads"),
        ("images", "is the folder of fetched images"),
        ("Encoders", "is the folder of fitted encoders"),
        ("codes", "is the folder of item codes"),
        ("x" * 121, "is longer than 120 bytes"),
        (f"'{'é' * 61}'", "is longer than 120 bytes"),
    ],
)
def test_what_cannot_be_the_name_of_a_folder_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        domain_name(typed(text))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("data.name=1e5", "data.name (1e5) is read as a number"),
        ("data.name=1_000", "data.name (1_000) is read as a number"),
        ("data.name=+5", "data.name (+5) is read as a number"),
        ("data.name=1.50", "data.name (1.50) is read as a number"),
        ("data.name=NaN", "data.name (NaN) is read as a number"),
        ("data.name=True", None),  # as Python spells it too; refused once it is read
        ("data.name=TRUE", "data.name (TRUE) is read as a truth value"),
        ("+data.name=1_0", "data.name (1_0) is read as a number"),
        ("data.name=a,1_000", "data.name (1_000) is read as a number"),
        ("data.sources.own.name=1_000", "data.sources.own.name (1_000) is read as a number"),
        ("data.name=2024", None),
        ("data.name=007", None),
        ("data.name=-5", None),
        ('data.name="1e5"', None),
        ("data.name='1_000'", None),
        ("data.name=[", None),  # Hydra says so
        ("names.run=1_000", None),
        ("-m", None),
    ],
)
def test_a_name_that_is_read_in_another_spelling_is_refused_as_typed(
    argument: str, said: str | None
) -> None:
    if said is None:
        check_typed_names(["data=own", argument])
        return
    typed = said.partition("(")[2].partition(")")[0]
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        check_typed_names(["data=own", argument])
    assert str(refused.value).endswith(f'name="{typed}"\'')


def test_every_folder_that_the_project_keeps_in_data_is_no_name() -> None:
    kept = re.compile(r"^\w+_dir: \$\{[\w.]*data_dir\}/(\w+)", re.MULTILINE)
    texts = [path.read_text() for path in (ROOT / "conf").rglob("*.yaml")]
    names = {name for text in texts for name in kept.findall(text)}
    assert names == {"raw", "images", "encoders", "codes"}
    for name in names:
        with pytest.raises(ValueError, match="is the folder of"):
            domain_name(name)


def test_a_number_is_a_name_in_all_that_is_made_of_it(tmp_path: Path) -> None:
    own = [*OWN, "data.name=2024", f"paths.data_dir={tmp_path}"]
    names = ["names.experiment=x", "names.model=m", "run_dir=."]
    config = plain(compose_train(ROOT, [*own, *names]))
    data = read_data(config)
    assert (data.name, data.folders) == ("2024", [tmp_path / "2024"])
    assert data.sources["own"]["name"] == "2024"
    assert config["names"]["run"].startswith("m-2024-")


@pytest.mark.parametrize("key", ["name", "sources.own.name"])
def test_each_name_of_the_data_is_checked(key: str) -> None:
    names = ["names.experiment=x", "names.model=m", "names.run=r", "run_dir=."]
    cfg = compose_train(ROOT, [*OWN, f"data.{key}=../x", *names])
    config = {"data": {**plain(cfg)["data"]}}
    with pytest.raises(ValueError, match=rf"data\.{key} \('../x'\) has a slash"):
        read_data(config)
