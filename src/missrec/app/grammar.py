"""Values on a command line, in the grammar that Hydra reads it with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

_MULTIRUN = ("-m", "--multirun")
_WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
}
"""Options of Hydra's whose value may be the next argument."""
_NO_OVERRIDE = ("-", "~")  # an option of Hydra's, or a removal
_QUOTES = ("'", '"')
_PLAIN = re.compile(r"[\w.+-]*/[\w/.+-]*|[A-Za-z_][\w.+-]*", re.ASCII)
_WORDS = ("null", "true", "false", "nan", "inf")
"""Values without quotes that Hydra takes as texts, and those among them that it does not."""


def quoted(value: str | Path, *, quote: str = "'") -> str:
    """A value in quotes, whatever characters it has."""
    escaped = re.sub(
        rf"(\\*)({quote}|$)",
        lambda found: found[1] * 2 + (f"\\{quote}" if found[2] else ""),
        str(value),
    )
    return f"{quote}{escaped}{quote}"


def as_word(value: str) -> str:
    """A text as it is, in double quotes where Hydra would not take it as such.

    A shell's command line then has it in single ones.
    """
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return value if is_plain else quoted(value, quote='"')


def options_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with options such as -m before the settings, as Hydra's parser wants them."""
    options: list[str] = []
    settings: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        is_value = before in _WITH_VALUE and "=" not in argument and argument[:1] != "~"
        (options if argument[:1] == "-" or is_value else settings).append(argument)
    return options + settings


def parsable_arguments(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments, with quotes around values that Hydra's grammar has no place for.

    So `path=clicks (1).csv`, `run=logs/lr=0.1`, `delimiter=;` and `[a=1.csv,b=2.csv]` are what they
    look like, in every command. What the grammar takes stays as it is, sweeps and functions too;
    but a blank is a blank, and `a,b.csv` is the file of that name where there is one.
    """
    is_multirun = bool(set(_MULTIRUN) & set(arguments))
    return [_parsable(argument, is_multirun=is_multirun) for argument in arguments]


def _parsable(argument: str, *, is_multirun: bool) -> str:
    key, sign, value = argument.partition("=")
    if not sign or key[:1] in _NO_OVERRIDE or not _parses(f"{key}=value"):
        return argument
    if value.isspace() or ("," in value and _exists(value)):
        return f"{key}={quoted(value)}"
    if _parses(argument):
        return argument
    if value[:1] == "[" and value[-1:] == "]":
        return f"{key}=[{_quoted_each(value[1:-1])}]"
    is_closed = all(value.count(opens) == value.count(closes) for opens, closes in ("[]", "{}"))
    if not is_closed or value[:1] in _QUOTES or (value[:1], value[-1:]) == ("{", "}"):
        return argument  # Hydra says what is wrong in it
    return f"{key}={_quoted_each(value) if is_multirun else quoted(value)}"


def _quoted_each(values: str) -> str:
    """Values between commas, each in quotes that needs them."""
    each = (value.strip() for value in values.split(","))
    return ",".join(value if _parses(f"key={value}") else quoted(value) for value in each)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, or a zero in it
        return False


def _parses(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True
