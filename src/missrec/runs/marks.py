"""What the files of `conf/` say of their settings, in comments beside them.

    num_workers: 0 # @neutral
    seed: 1 # @seed
    label_smoothing: 0.1 # @before 0.0; Szegedy et al. 2016

Each mark holds for the setting with all that is below it; after a `;` stands whatever else there is
to say. `@neutral`: no value changes a result; `@neutral but name, ...`: all below it but these.
`@seed`: what the runs of one row are averaged over. `@before <value>`: what runs did that are older
than the setting. In the defaults list of a command, a mark holds for the group.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from missrec.runs.settings import Marks, is_below

CONF_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Of the files of `conf/`: the first is eight times as fast."""

_COMMANDS = ("train.yaml", "tune.yaml")
"""Whose settings runs and studies record; those of the other commands are not compared."""

_MARK = re.compile(r"#\s*@(\w+)\s*([^;]*)")
_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)
_COPY = re.compile(r"\$\{([\w.]*\w)\}")
_FIRST_FORMAT = Path(__file__).with_name("settings_of_format_0.txt")


class Setting(NamedTuple):
    """A setting where it stands.

    Attributes:
        file: relative to `conf/`.
        keys: dotted, in the config of a run; several where it is put at, or copied to, several
            places, none where no run takes the file.
        mark: such as `neutral`; empty without one.
        said: what follows the mark.
        is_leaf: whether no setting of the file is below it.
    """

    file: str
    keys: tuple[str, ...]
    mark: str
    said: str
    is_leaf: bool


class _Local(NamedTuple):
    """A setting with its key in its file, and the key of what `${...}` copies there."""

    key: str
    mark: str
    said: str
    is_leaf: bool
    copied: str


class _File(NamedTuple):
    name: str
    group: str
    is_global: bool
    text: str
    root: yaml.MappingNode


class _Entry(NamedTuple):
    """Of a defaults list: a group, of which any choice may be taken, or the one file of it."""

    line: int
    group: str
    package: str
    choice: str
    is_file: bool


@cache
def read_marks(conf_dir: Path) -> Marks:
    """What the files of a conf folder say of their settings.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a mark is unknown, or stands beside no setting.
    """
    if not conf_dir.is_dir():
        raise FileNotFoundError(f"{conf_dir} is missing, which says what settings can change")
    settings = read_settings(conf_dir)
    marked: dict[str, list[Setting]] = {"neutral": [], "seed": [], "before": []}
    for setting in settings:
        if setting.mark:
            marked[setting.mark].append(setting)
    before = {key: yaml.safe_load(s.said) for s in marked["before"] for key in s.keys}
    known = {*first_format(), *before}
    return Marks(
        neutral=frozenset(key for setting in marked["neutral"] for key in setting.keys),
        counting=frozenset(
            f"{key}.{part}" for s in marked["neutral"] for key in s.keys for part in _but(s)
        ),
        seeds=frozenset(key for setting in marked["seed"] for key in setting.keys),
        before=before,
        undated=frozenset(
            key
            for setting in settings
            if setting.is_leaf
            for key in setting.keys
            if key not in known
        ),
    )


def first_format() -> frozenset[str]:
    """The files of `conf/`, and the settings, that there were when formats were first counted."""
    return frozenset(_FIRST_FORMAT.read_text(encoding="utf-8").split())


def read_settings(conf_dir: Path) -> list[Setting]:
    """All settings of the files that a run's config is composed of.

    Raises:
        ValueError: as `read_marks`.
    """
    files = list(_files(conf_dir))
    places = _places(files)
    found, copies = [], set()
    for file in files:
        for local in _settings(file):
            if local.mark and not places[file.name]:
                raise ValueError(
                    f"conf/{file.name}: {local.key}: @{local.mark}: no defaults list names the file"
                )
            keys = [f"{place}.{local.key}".lstrip(".") for place in sorted(places[file.name])]
            copies |= {(key, local.copied) for key in keys if local.copied}
            found.append((file, local, keys))
    return [
        Setting(
            file=file.name,
            keys=(
                *keys,
                *(
                    copy + key[len(source) :]
                    for key in keys
                    for copy, source in sorted(copies)
                    if is_below(key, (source,))
                ),
            ),
            mark=local.mark,
            said=local.said,
            is_leaf=local.is_leaf,
        )
        for file, local, keys in found
    ]


def _but(setting: Setting) -> list[str]:
    """The parts of a neutral setting that count all the same."""
    if not setting.said:
        return []
    word, _, parts = setting.said.partition(" ")
    if word != "but" or not parts:
        raise ValueError(
            f"conf/{setting.file}: @neutral {setting.said}: other words than `but "
            "<key>, <key>` stand after a ;"
        )
    return [part.strip() for part in parts.split(",")]


def _files(conf_dir: Path) -> Iterator[_File]:
    for path in sorted(conf_dir.rglob("*.yaml")):
        name = path.relative_to(conf_dir).as_posix()
        group = posixpath.dirname(name)
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=CONF_LOADER)
        if not isinstance(root, yaml.MappingNode):
            continue
        if not group and name not in _COMMANDS:
            if any(mark != "package" for mark, _ in _marks(text).values()):
                raise ValueError(f"conf/{name}: marks belong to the settings of a run")
            continue
        package = _PACKAGE.search(text)
        if package and package[1] != "_global_":
            raise ValueError(
                f"conf/{name}: @package {package[1]}: where its settings go is unknown"
            )
        yield _File(name, group, not group or package is not None, text, root)


def _marks(text: str) -> dict[int, tuple[str, str]]:
    """Line -> the mark on it and what is said with it."""
    found = {number: _MARK.search(line) for number, line in enumerate(text.splitlines())}
    return {number: (mark[1], mark[2].strip()) for number, mark in found.items() if mark}


def _settings(file: _File) -> Iterator[_Local]:
    marks = {n: mark for n, mark in _marks(file.text).items() if mark[0] != "package"}
    for line, key, value in _keys(file):
        mark, said = marks.pop(line, ("", ""))  # of several keys on a line, the first has it
        if mark not in {"", "neutral", "seed", "before"}:
            raise ValueError(f"conf/{file.name}, line {line + 1}: @{mark} is no mark")
        is_leaf = not (isinstance(value, yaml.MappingNode) and value.value)
        copied = _COPY.fullmatch(value.value) if isinstance(value, yaml.ScalarNode) else None
        yield _Local(key, mark, said, is_leaf, copied[1] if copied else "")
    for line, (mark, _) in marks.items():
        raise ValueError(f"conf/{file.name}, line {line + 1}: @{mark} stands beside no setting")


def _keys(file: _File) -> Iterator[tuple[int, str, yaml.Node | None]]:
    for entry in _entries(file):
        if not (entry.is_file or entry.group.startswith(("/", "override "))):
            yield entry.line, _package(entry, file.group, ""), None
    for key, value in file.root.value:
        if key.value != "defaults" and not (key.value == "hydra" and file.is_global):
            yield from _below(key, value, "")


def _below(key: yaml.Node, value: yaml.Node, prefix: str) -> Iterator[tuple[int, str, yaml.Node]]:
    name = f"{prefix}{key.value}"
    yield key.start_mark.line, name, value
    for inner, content in value.value if isinstance(value, yaml.MappingNode) else ():
        yield from _below(inner, content, f"{name}.")


def _places(files: Sequence[_File]) -> Mapping[str, set[str]]:
    """File -> the packages where defaults lists put it: the commands', and those of what they name.

    A file of the global package has its settings at their own place, whoever names it.
    """
    places: dict[str, set[str]] = {file.name: {""} if file.is_global else set() for file in files}
    by_group: dict[str, list[_File]] = {}
    for file in files:
        by_group.setdefault(file.group, []).append(file)
    entries = [(file, entry) for file in files for entry in _entries(file)]
    size = -1
    while size != (size := sum(map(len, places.values()))):
        for taking, entry in entries:
            at = {_package(entry, taking.group, parent) for parent in places[taking.name]}
            for other in by_group.get(_path(entry, taking.group), ()):
                is_named = entry.choice in {"", PurePosixPath(other.name).stem}
                # A split is made of another one, not of itself: that would have no end.
                if is_named and not other.is_global and other is not taking:
                    places[other.name] |= at
    return places


def _entries(file: _File) -> Iterator[_Entry]:
    """The entries of the defaults list."""
    for key, value in file.root.value:
        for node in value.value if key.value == "defaults" else ():
            line = node.start_mark.line
            if isinstance(node, yaml.MappingNode):
                named, _ = node.value[0]
                group, _, package = named.value.removeprefix("optional ").partition("@")
                yield _Entry(line, group, package, "", is_file=False)
            elif node.value != "_self_":
                config, _, package = node.value.partition("@")
                group, choice = posixpath.split(config)
                yield _Entry(line, group, package, choice, is_file=True)


def _path(entry: _Entry, within: str) -> str:
    group = entry.group.removeprefix("override ")
    if group.startswith("/"):
        return group[1:]
    return posixpath.normpath(posixpath.join(within, group)).removeprefix(".")


def _package(entry: _Entry, within: str, parent: str) -> str:
    """Where an entry puts what it names, from a file of a group that is itself at `parent`."""
    if entry.package == "_here_":
        return parent
    if entry.package.startswith("_global_"):
        return entry.package.removeprefix("_global_").lstrip(".")
    path = _path(entry, within)
    is_inside = not within or f"{path}/".startswith(f"{within}/")
    if not (entry.package or is_inside):
        return _dotted(path)
    below = entry.package or _dotted(path[len(within) :].lstrip("/"))
    return ".".join(part for part in (parent, below) if part)


def _dotted(group: str) -> str:
    return group.replace("/", ".")
