"""What kind of value a setting takes, as `conf/` declares it: by its own value and its comment.

    lr: 0.001 # above 0; section 4.2.4
    batch_size: 512 # at least 1
    dropout_prob: 0.2 # from 0 to 1
    accelerator: auto # one of auto, cpu, gpu

A setting is a number where every value that `conf/` gives its name is one, and likewise a whole
number, a list or a truth value; but not where a comment says `or` what else it can be. The range
stands first in the comment, before a `;`; of a name with several ranges each counts. So a mistake
on the command line is found before anything is imported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString, ValueType
from hydra.errors import HydraException

from missrec.app.command_line.project import conf_dir
from missrec.runs.marks import CONF_LOADER
from missrec.runs.settings import leaves

_NO_SETTINGS = {"paper.yaml", "known_domains.yaml"}
_COMMENTED = re.compile(r"^ *(\w+):.* # (?:@\w+(?: [^;]*)?; )?(above|at least|from) (.*)$", re.M)
_COMMENT = re.compile(r"^ *(?:- )?([\w/@.]+):.*? # (?:@[^;\n]*(?:; |$))?(.*)$", re.M)
_RANGE = re.compile(r"(above|at least|from) (\S+?)(?: (?:up )?(to|below) (\S+?))?(?:[;,]|$)")
_ONE_OF = re.compile(r"^ *(\w+):.* # (?:@\w+(?: [^;]*)?; )?one of ([^;\n]+)", re.M)
_OR = re.compile(r"^ *(\w+):.* # (?:.*; )?or ", re.M)
_CONVENTION = re.compile(r"num_\w+|\w+_(dim|size|prob|sec|std)")  # STYLE: names that are numbers


class Declared(NamedTuple):
    """What `conf/` says of the settings with one name.

    Attributes:
        kinds: of the values there, but for null and interpolations.
        may_be_null: some file has null, so that a text may be meant instead.
        ranges: words of its ranges, such as `above 0`.
        one_of: the texts that it can be; empty where any can.
    """

    kinds: frozenset[type]
    may_be_null: bool
    ranges: frozenset[str]
    one_of: frozenset[str]


def check_values(arguments: Sequence[str], groups: Container[str]) -> None:
    """Refuses a value on the command line that its setting cannot have.

    Args:
        arguments: of the command line, without the program's name.
        groups: of the command, whose choices are no values.

    Raises:
        ValueError: names the setting, its value and what it can be.
    """
    for override in overrides(arguments):
        declared = _declared().get(override.key_or_group.rpartition(".")[2])
        if declared is None or override.key_or_group in groups:
            continue
        for value in values_of(override):
            if not _is_open(value, declared):
                is_swept = (
                    override.is_sweep_override()
                )  # of a list without brackets Hydra says more
                _check(override.key_or_group, value, declared, is_swept=is_swept)


def check_settings(config: Mapping[str, Any]) -> None:
    """Refuses a value of a composed config that its setting cannot have, wherever it was set.

    Args:
        config: sections of it, plain; of settings whose null means something, without those.

    Raises:
        ValueError: as `check_values`.
    """
    for key, value in leaves(config):
        declared = _declared().get(key.rpartition(".")[2])
        if declared is not None and not (value is None and declared.may_be_null):
            _check(key, value, declared, is_swept=False)


def overrides(arguments: Sequence[str]) -> list[Override]:
    """Those that Hydra's parser understands; Hydra itself will refuse the others."""
    parser, parsed = OverridesParser.create(), []
    for argument in arguments:
        if not argument.startswith(("-", "~")) and "=" in argument:
            try:
                parsed.append(parser.parse_override(argument))
            except HydraException:
                continue
    return parsed


def values_of(override: Override) -> Iterator[Any]:
    """The value of an override, or each that it sweeps, where it names them."""
    if override.value_type in (ValueType.GLOB_CHOICE_SWEEP, ValueType.RANGE_SWEEP):
        return
    if not override.is_sweep_override():
        yield _unquoted(override.value())
    elif override.value_type in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
        for text in override.sweep_string_iterator():
            yield _unquoted(OverridesParser.create().parse_override(f"key={text}").value())


def _unquoted(value: Any) -> Any:
    return value.text if isinstance(value, QuotedString) else value


def _is_open(value: Any, declared: Declared) -> bool:
    """Whether what the value will be is not known, or is nothing: whoever reads it says more.

    Nothing is no number of a range, where no file has it.
    """
    if value is None:
        return declared.may_be_null or not declared.ranges
    return isinstance(value, str) and "${" in value


def _check(key: str, value: Any, declared: Declared, *, is_swept: bool) -> None:
    kinds, name = declared.kinds, key.rpartition(".")[2]
    if declared.one_of and str(value) not in declared.one_of:
        raise ValueError(f"{key} ({value}) must be one of {', '.join(sorted(declared.one_of))}")
    if kinds == {bool}:
        if not isinstance(value, bool):
            raise ValueError(f"{key} ({value}) must be true or false")
    elif kinds == {list}:
        if not isinstance(value, list) and not is_swept:
            raise ValueError(f"{key} ({value}) must be a list; type '{key}=[{value}]'")
    elif kinds and kinds <= {int, float}:
        if declared.may_be_null and isinstance(value, str) and not _CONVENTION.fullmatch(name):
            return
        _check_number(key, value, is_whole=kinds == {int}, ranges=declared.ranges)


def _check_number(key: str, value: Any, *, is_whole: bool, ranges: frozenset[str]) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = is_number and math.isfinite(value) and (isinstance(value, int) or not is_whole)
    if not fits or (ranges and not any(_within(words)(value) for words in ranges)):
        kind = "a whole number" if is_whole else "a number"
        said = " or ".join(f" {words}" for words in sorted(ranges)).lstrip()
        raise ValueError(f"{key} ({value}) must be {kind}{f' {said}' if said else ''}")


def _within(words: str) -> Callable[[float], bool]:
    """`above 0`, `at least 1`, `from 0 to 1` or `from 0 below 1` as a condition."""
    found = _RANGE.match(words)
    assert found is not None
    least, most = float(found[2]), float(found[4] or "inf")
    is_open_below, is_open_above = found[1] == "above", found[3] == "below"

    def holds(value: float) -> bool:
        above = value > least if is_open_below else value >= least
        return above and (value < most if is_open_above else value <= most)

    return holds


@cache
def _declared() -> dict[str, Declared]:
    """Name of a setting -> what the files of `conf/` say of it."""
    kinds: dict[str, set[type]] = {}
    ranges: dict[str, set[str]] = {}
    one_of: dict[str, set[str]] = {}
    for path in sorted(conf_dir().rglob("*.yaml")):
        if path.name in _NO_SETTINGS:
            continue
        text = path.read_text(encoding="utf-8")
        for name, value in _named(yaml.load(text, Loader=CONF_LOADER)):  # noqa: S506
            if not (isinstance(value, str) and "${" in value):
                kinds.setdefault(name, set()).add(type(value))
        for name, first, rest in _COMMENTED.findall(text):
            if found := _RANGE.match(f"{first} {rest}"):
                ranges.setdefault(name, set()).add(found[0].rstrip(";,"))
        for name in _OR.findall(text):
            kinds.setdefault(name, set()).add(object)
        for name, listed in _ONE_OF.findall(text):
            one_of.setdefault(name, set()).update(map(str.strip, listed.split(",")))
    return {
        name: Declared(
            frozenset(found - {type(None)}),
            type(None) in found,
            frozenset(ranges.get(name, ())),
            frozenset(one_of.get(name, ())),
        )
        for name, found in kinds.items()
    }


@cache
def comments(path: Path) -> dict[str, str]:
    """Name of a setting of a file of `conf/` -> its comment, without marks of `runs/marks.py`."""
    found = _COMMENT.findall(path.read_text(encoding="utf-8"))
    return {name: said.strip() for name, said in found if said.strip()}


def _named(content: Any) -> Iterator[tuple[str, Any]]:
    """The settings of a file, at any depth, by the last part of their keys."""
    for name, value in content.items() if isinstance(content, dict) else ():
        if name not in ("defaults", "hydra"):
            yield str(name), value
            yield from _named(value)
