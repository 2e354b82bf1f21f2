"""The command lines that README and docs/ give to copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from missrec.app.command_line.arguments import named_lists
from missrec.app.command_line.grammar import parsable_arguments

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
COMMANDS = {path.stem for path in CONF.glob("*.yaml")} & {p.stem for p in ROOT.glob("src/*.py")}
PAGES = [ROOT / "README.md", ROOT / "bench" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
MADE_BY_THE_PAGE = {"docs/add_a_model.md": {"model=gru4rec"}}
"""Choices whose file a page tells the reader to write."""
_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:python (?:src|bench)/|missrec |make )[^`]*)`")
OURS = re.compile(r"(?:^|\s)(?:src/(?P<script>\w+)\.py|missrec (?P<name>\w+))(?=\s|$)")
PLACEHOLDER = re.compile(r"<[^<>]+>")
PLACE = "PLACE"
_HYDRAS = {"-m", "--multirun", "--help", "--cfg", "job", "…", "..."}


def blocks(text: str) -> Iterator[str]:
    """The lines of the blocks of a page that a shell executes, without comments."""
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                yield line


def on_pages(pattern: str = "") -> list[Any]:
    """Each command line of the pages that has the pattern, once, with its page."""
    found: dict[str, Path] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for line in (*blocks(text), *_INLINE.findall(text)):
            if re.search(pattern, line):
                found.setdefault(" ".join(line.split()), page)
    return [
        pytest.param(line, page, id=f"{page.stem}: {line[:60]}") for line, page in found.items()
    ]


def settings(words: list[str], *, page: Path) -> list[str]:
    """The settings of a command line that can be composed: of a sweep the first of each.

    A choice that is a placeholder, `data=<domain>`, is left to its default.
    """
    name = page.relative_to(ROOT).as_posix()
    passed_over = {*_HYDRAS, PLACE, *MADE_BY_THE_PAGE.get(name, ())}
    given = [word for word in words if word not in passed_over and not word.endswith(("=", "=…"))]
    given = [word for word in given if not (is_choice(word) and PLACE in word)]
    return [first(override) for override in parsed(named_lists(given))]


def is_choice(word: str) -> bool:
    return (CONF / word.partition("=")[0].partition("@")[0]).is_dir()


def parsed(words: list[str]) -> list[Override]:
    parser = OverridesParser.create()
    return parser.parse_overrides(parsable_arguments(words))


def first(override: Override) -> str:
    line = override.input_line or ""
    if not override.is_sweep_override():
        return line
    if line.endswith("glob(*)"):
        group = override.get_key_element()
        return f"{group}={min(p.stem for p in (CONF / group).glob('[!_]*.yaml'))}"
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
