"""The table of docs/metrics.md is of the versions that are pinned, and its row of ours is right."""

from __future__ import annotations

from math import log2
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"RecBole": "recbole", "RecTools": "rectools", "RePlay": "replay-rec"}
"""Names of packages that are no names of libraries in small letters."""


def rows() -> dict[str, list[str]]:
    """The cells of each row of the table, by library."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    table = page.partition("<!-- peers -->\n")[2].partition("\n<!-- end of peers -->")[0]
    _, _, *lines = table.splitlines()
    cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return {name: rest for name, *rest in cells}


def test_each_library_was_measured_in_the_version_that_is_pinned() -> None:
    pins = (ROOT / "bench" / "peer_metrics.txt").read_text(encoding="utf-8").split()
    pinned = dict(pin.split("==") for pin in pins)
    del pinned["torch"]  # what the others need
    found = {name.partition(",")[0]: cells[0] for name, cells in rows().items() if cells[0]}
    assert {PACKAGES.get(name, name.lower()): version for name, version in found.items()} == pinned


def test_our_row_is_what_the_page_says_of_ranks() -> None:
    of_16 = sum(1 / log2(1 + rank) for rank in range(1, 11)) / 16  # any of 16 places alike
    expected = ["", "1.0000", f"{1 / log2(3):.4f}", "–", "1.0000", "1.0000", "–", f"{of_16:.4f}"]  # noqa: RUF001
    assert rows()["this project"] == expected
