"""Names of data: what may be one is taken as it was typed, what may not is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hydra.core.override_parser.overrides_parser import OverridesParser

from missrec.app.names import domain_name
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
        ("x" * 121, "is longer than 120 bytes"),
        (f"'{'é' * 61}'", "is longer than 120 bytes"),
    ],
)
def test_what_cannot_be_the_name_of_a_folder_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        domain_name(typed(text))
    assert "\n" not in str(refused.value)


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
