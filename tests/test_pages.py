"""What README and docs/ give to copy can be executed: commands have settings that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from missrec.app.command_line.arguments import named_lists
from missrec.app.command_line.grammar import parsable_arguments

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
COMMANDS = {path.stem for path in CONF.glob("*.yaml")} & {p.stem for p in ROOT.glob("src/*.py")}
PAGES = [ROOT / "README.md", ROOT / "bench" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
MADE_BY_THE_PAGE = {"docs/add_a_model.md": {"model=gru4rec"}}
"""Choices whose file a page tells the reader to write."""
ELSEWHERE = {
    *("cp", "curl", "hf", "ln", "make", "pip", "systemctl", "uv", "wandb"),
    *("mlflow", "tensorboard"),
    *("(umask", "git", "source", "python"),
}
"""Programs that are not ours."""

_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:python (?:src|bench)/|missrec |make )[^`]*)`")
_OURS = re.compile(r"(?:^|\s)(?:src/(?P<script>\w+)\.py|missrec (?P<name>\w+))(?=\s|$)")
_PLACEHOLDER = re.compile(r"<[^<>]+>")
_PLACE = "PLACE"
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
    passed_over = {*_HYDRAS, _PLACE, *MADE_BY_THE_PAGE.get(name, ())}
    given = [word for word in words if word not in passed_over and not word.endswith(("=", "=…"))]
    given = [word for word in given if not (is_choice(word) and _PLACE in word)]
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


@cache
def composes(command: str, arguments: tuple[str, ...]) -> bool:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, [*arguments]) is not None


@pytest.mark.parametrize(("line", "page"), on_pages(_OURS.pattern))
def test_the_commands_of_the_pages_have_settings_that_there_are(line: str, page: Path) -> None:
    """Composed; those of a sweep with the first value of each."""
    for part in re.split(r" && | \| ", line):
        if not (ours := _OURS.search(part)):
            continue
        name = ours["script"] or ours["name"]
        assert name in COMMANDS
        arguments = _PLACEHOLDER.sub(_PLACE, part[ours.end() :])
        words = shlex.split(arguments.split(" > ")[0], comments=True)
        assert composes(name, tuple(settings(words, page=page)))


def test_a_command_with_a_setting_that_there_is_not_is_found() -> None:
    with pytest.raises(HydraException, match="optimzer"):
        composes("train", tuple(settings(["optimzer.lr=1"], page=ROOT / "README.md")))


@pytest.mark.parametrize(("line", "page"), on_pages(r"(^|\s)bench/\w+\.py|^make "))
def test_benchmarks_and_targets_of_the_pages_are_there(line: str, page: Path) -> None:
    if line.startswith("make"):
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        named = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
        assert set(named) <= set(targets)
        return
    words = shlex.split(line.partition("bench/")[2], comments=True)
    text = (ROOT / "bench" / words[0]).read_text(encoding="utf-8")
    assert [word for word in words if word.startswith("--") and f'"{word}"' not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_line_of_a_block_is_a_command(page: Path) -> None:
    """So that none escapes the tests above by how it is written."""
    for line in blocks(page.read_text(encoding="utf-8")):
        program = re.sub(r"^(?:\w+=\S* )+", "", line.strip()).split()[0]
        assert _OURS.search(line) or program in ELSEWHERE, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_of_the_pages_is_python(page: Path) -> None:
    for block in re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
    ):
        compile(block, str(page), "exec")


def test_there_are_commands_on_the_pages() -> None:
    assert len(on_pages(_OURS.pattern)) > 100
