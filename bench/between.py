"""Tables of Markdown, and pages of which what stands between two markers is replaced."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def write_between(page: Path, name: str, text: str) -> None:
    """Replaces what stands between `<!-- name -->` and `<!-- end of name -->` on a page.

    Raises:
        ValueError: the page has not both markers, once.
    """
    before = page.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(start)}\n.*?{re.escape(end)}", re.DOTALL)
    after, count = pattern.subn(lambda _: f"{start}\n{text}\n{end}", before)
    if count != 1:
        raise ValueError(f"{page} must have {start} and {end} once, found {count}")
    page.write_text(after, encoding="utf-8")


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table of Markdown."""
    return "\n".join(map(line, [columns, ["---"] * len(columns), *rows]))


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "|".join(["", *(f" {cell} " if cell else " " for cell in cells), ""])
