"""What README and docs/ give to copy can be executed: commands have settings that there are."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from pages import COMMANDS, CONF, OURS, PAGES, PLACE, PLACEHOLDER, ROOT, blocks, on_pages, settings

ELSEWHERE = {
    *("cp", "curl", "hf", "ln", "make", "pip", "systemctl", "uv", "wandb"),
    *("mlflow", "tensorboard"),
    *("(umask", "git", "source", "python"),
}
"""Programs that are not ours."""


@cache
def composes(command: str, arguments: tuple[str, ...]) -> bool:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, [*arguments]) is not None


@pytest.mark.parametrize(("line", "page"), on_pages(OURS.pattern))
def test_the_commands_of_the_pages_have_settings_that_there_are(line: str, page: Path) -> None:
    """Composed; those of a sweep with the first value of each."""
    for part in re.split(r" && | \| ", line):
        if not (ours := OURS.search(part)):
            continue
        name = ours["script"] or ours["name"]
        assert name in COMMANDS
        arguments = PLACEHOLDER.sub(PLACE, part[ours.end() :])
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
        assert OURS.search(line) or program in ELSEWHERE, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_of_the_pages_is_python(page: Path) -> None:
    for block in re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
    ):
        compile(block, str(page), "exec")


def test_there_are_commands_on_the_pages() -> None:
    assert len(on_pages(OURS.pattern)) > 100
