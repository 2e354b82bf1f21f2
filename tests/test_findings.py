"""The scripts of findings/ and their table: each is told, short and pinned, and its tests exist.

What they show is run by `make findings`, which needs a network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "findings").glob("*.sh"))
TABLE = (ROOT / "findings" / "README.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| \[(\w+)\]\(\w+\.sh\) \|(.*)\|$", TABLE, re.MULTILINE))


def test_each_script_has_a_row_and_each_row_a_script() -> None:
    assert len(SCRIPTS) >= 12
    assert [script.stem for script in SCRIPTS] == list(ROWS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_short_and_pins_what_it_installs_where_it_cleans_up(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK)
    assert 15 <= len(text.splitlines()) <= 50
    assert "\n# Output seen:\n" in text
    assert "\ntrap 'rm -rf \"$place\"' EXIT\n" in text
    (packages,) = re.findall(r"pip install --quiet --disable-pip-version-check (.+)", text)
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", package) for package in packages.split())
    versions = dict(re.findall(r"([\w.-]+)==([\w.]+)", packages))
    name, version = re.match(r"# ([\w.-]+) ([\d.]+)", text.partition("\n")[2]).groups()  # type: ignore[union-attr]
    assert {key.lower(): value for key, value in versions.items()}[name.lower()] == version
    assert f"{name} {version}" in ROWS[script.stem]


def test_what_the_table_names_is_there() -> None:
    named = {
        path
        for row in ROWS.values()
        for path in re.findall(r"`((?:tests|retrieval|interests|features|app)/[\w/.]+)`", row)
    }
    assert len(named) > 8
    missing = [p for p in named if not any((ROOT / at / p).exists() for at in ("", "src/missrec"))]
    assert missing == []
