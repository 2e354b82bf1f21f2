"""The site's page of settings: each one of conf/ with what the comment beside it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import yaml

_HEAD = """# Settings

Each command has one file in `conf/`, and each [choice](../glossary.md#group-choice) another. This
page is made of their comments, so a change belongs there.

A setting is changed on the command line by the name that it has here: `optimizer.lr=0.003`. `null`
is nothing, `${seed}` the value of another setting. Numbers such as *4.2.4* are sections of the
paper; *silent* says that the paper gives no value.
"""
_INTERNAL = re.compile(r"(^|\.)_\w+_$")  # what Hydra reads: _target_, _partial_
_MARK = re.compile(r"^@(?:neutral|seed|before|package)\b[^;]*;?\s*")
_PLACED = re.compile(r"^ *- (?:optional )?(\w[\w/]*)@(\w[\w.]*):", re.MULTILINE)


class Setting(NamedTuple):
    """A setting where it stands.

    Attributes:
        key: dotted, as on the command line.
        value: as the file writes it.
        meaning: the comment beside it, or right above; empty without one.
    """

    key: str
    value: str
    meaning: str


def settings_page(conf: Path) -> str:
    """The page of a conf folder."""
    texts = {p.relative_to(conf).as_posix(): p.read_text() for p in sorted(conf.rglob("*.yaml"))}
    texts = {
        name: text
        for name, text in texts.items()
        if not any(part.startswith(("_", "local")) for part in name.split("/"))
    }
    placed = dict(found for text in texts.values() for found in _PLACED.findall(text))
    commands = {name: text for name, text in texts.items() if "/" not in name and "hydra:" in text}
    groups = {name: text for name, text in texts.items() if "/" in name}
    return "\n".join(
        [
            _HEAD,
            "## Commands\n",
            *(_section(name.removesuffix(".yaml"), text, "") for name, text in commands.items()),
            *_groups(groups, placed),
        ]
    )


def _groups(files: dict[str, str], placed: dict[str, str]) -> Iterator[str]:
    before = ""
    for name, text in files.items():
        group, _, choice = name.removesuffix(".yaml").rpartition("/")
        if group != before:
            yield f"## {group}\n"
        before = group
        is_global = "@package _global_" in text
        prefix = "" if is_global else f"{placed.get(group, group.replace('/', '.'))}."
        yield _section(f"{group}={choice}", text, prefix)


def _section(title: str, text: str, prefix: str) -> str:
    rows = [
        f"| `{setting.key}` | {_code(setting.value)} | {_plain(setting.meaning)} |"
        for setting in settings(text, prefix)
    ]
    table = ["| setting | value | meaning |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join([f"### {title}\n", *_header(text), *table])


def settings(text: str, prefix: str) -> Iterator[Setting]:
    """The settings of a file, but for those that Hydra itself reads."""
    root = yaml.compose(text)
    lines = text.splitlines()
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if key.value not in ("defaults", "hydra"):
                yield from _below(key, value, prefix, lines)


def _below(key: yaml.Node, value: yaml.Node, prefix: str, lines: list[str]) -> Iterator[Setting]:
    name = f"{prefix}{key.value}"
    start, end = key.start_mark.line, value.end_mark
    if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
        for inner, content in value.value:
            yield from _below(inner, content, f"{name}.", lines)
    elif not _INTERNAL.search(name):
        shown = "\n".join(lines[start : end.line + 1])[key.end_mark.column + 1 :].strip()
        written, _, said = shown.partition(" #")
        above = _above(lines, start)
        meaning = _MARK.sub("", said.strip())
        yield Setting(name, " ".join(written.split()), meaning or above)


def _above(lines: list[str], number: int) -> str:
    """The comment in the lines right above, if it is not the head of the file."""
    found: list[str] = []
    while number and lines[number - 1].lstrip().startswith("#"):
        number -= 1
        found.insert(0, lines[number].strip(" #"))
    return "" if number == 0 else " ".join(found)


def _header(text: str) -> list[str]:
    """The comment that a file begins with; its commands as such."""
    head = [line.strip("# ") for line in takewhile(lambda line: line[:1] == "#", text.splitlines())]
    said = [line for line in head if not line.startswith(("@package", "python "))]
    commands = [line for line in head if line.startswith("python ")]
    code = ["```bash", *commands, "```", ""] if commands else []
    return [*code, f"{_plain(' '.join(said))}\n"] if said else code


def _code(value: str) -> str:
    return f"`{value.replace('|', chr(92) + '|')}`" if value else ""


def _plain(text: str) -> str:
    """A comment as Markdown that shows it as it is."""
    return re.sub(r"([<>*_|\[\]`$])", r"\\\1", text)
