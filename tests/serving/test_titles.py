from __future__ import annotations

import polars as pl
import pytest

from missrec.serving.titles import TextSearch

TITLES = [
    "Blue tea pot",  # 0
    "Tea for two, blue",  # 1
    "Café crème",  # 2
    "A pot of 50% [off] (.*) \\d",  # 3
    "茶 pot",  # 4
    "<b>Bold</b> & 'quoted'",  # 5
    "",  # 6
    "Straße, İstanbul",  # 7
]


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("tea", [1, 0]),  # where it stands first comes first
        ("TEA blue", [0, 1]),  # any order
        ("tea po", [0]),
        ("cafe", [2]),
        ("CRÈME café", [2]),
        (".*", [3]),  # a text, no pattern
        ("[off]", [3]),
        ("\\d", [3]),
        ("50%", [3]),
        ("茶", [4]),
        ("<b>", [5]),
        ("'quoted' &", [5]),
        ("istanbul", [7]),
        ("nothing", []),
        ("", [*range(8)]),
        (" \t ", [*range(8)]),
        ("a\u0301", [3, 0, 1, 2, 7]),
        ("\ufb01", []),
        ("\0", []),
    ],
)
def test_all_words_are_found_wherever_they_stand(asked: str, rows: list[int]) -> None:
    found = TextSearch(pl.Series(TITLES)).find(asked, limit=100)
    assert sorted(found.rows) == sorted(rows)
    assert found.total == len(rows)
    if asked == "tea":
        assert found.rows == rows


def test_the_first_are_named_and_all_are_counted() -> None:
    found = TextSearch(pl.Series(TITLES)).find("pot", limit=2)
    assert (found.rows, found.total) == ([3, 4], 3)


def test_no_texts_are_searched_too() -> None:
    assert TextSearch(pl.Series([], dtype=pl.String)).find("tea", limit=3).total == 0
