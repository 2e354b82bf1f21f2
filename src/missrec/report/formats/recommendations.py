"""Recommendations on the terminal, by title."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table

from missrec.report.formats.terminal import print_table

_LONGEST_TITLE = 48
_MOST_ROWS = 5


class Shown(NamedTuple):
    """What is shown of one request.

    Attributes:
        key: of the user, history or item.
        history: titles, oldest first.
        found: titles with their scores, best first.
    """

    key: str
    history: Sequence[str]
    found: Sequence[tuple[str, float]]


def print_recommendations(title: str, shown: Sequence[Shown], *, similar: bool = False) -> None:
    """A table with some of the recommendations.

    Args:
        title: of the table.
        shown: the requests.
        similar: whether they are items that others are similar to.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("")
    if not similar:
        table.add_column("has taken, latest first")
    table.add_column("similar" if similar else "recommended")
    table.add_column("score", justify="right")
    for one in shown:
        table.add_section()
        latest = [_cut(name) for name in one.history[::-1][:_MOST_ROWS]]
        found = [_cut(name) for name, _ in one.found[:_MOST_ROWS]] or ["nothing"]
        scores = [f"{score:.3f}" for _, score in one.found[:_MOST_ROWS]]
        columns = [[_cut(one.key)], *([] if similar else [latest]), found, scores]
        for cells in zip_longest(*columns, fillvalue=""):
            table.add_row(*cells)
    print_table(table)


def _cut(title: str) -> str:
    text = " ".join(title.split())
    return escape(text if len(text) <= _LONGEST_TITLE else f"{text[: _LONGEST_TITLE - 1]}…")
