"""Values on a command line, in the grammar that Hydra reads it with."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException

_MULTIRUN = ("-m", "--multirun")
_SWEEPS = ("hydra.mode=", "sweep=")  # these sweep too
WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
}
"""Options of Hydra's whose value may be the next argument."""
_NO_OVERRIDE = ("-", "~")  # an option of Hydra's, or a removal
_QUOTES = ("'", '"')
_PLAIN = re.compile(r"[\w.+-]*/[\w/.+-]*|[A-Za-z_][\w.+-]*", re.ASCII)
# More than words with commas between them, and none of them in quotes or brackets.
_NO_WORDS = re.compile(r"(?=[^\"'\[\]{}$]*$).*?([^\w.,+*~@:/= -]|[^, ] +[^, ])")
_OPENS = re.compile(r"(^|[\[{,:])\s*$")  # a quote here is one, and an apostrophe elsewhere
_AMBIGUOUS = re.compile(r"Ambiguous value for argument '([^=]+)=(.*)'")
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
        is_value = before in WITH_VALUE and "=" not in argument and argument[:1] != "~"
        (options if argument[:1] == "-" or is_value else settings).append(argument)
    return options + settings


def parsable_arguments(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments, with quotes around values that Hydra's grammar has no place for.

    So `path=clicks (1).csv`, `run=logs/lr=0.1`, `delimiter=;`, `[a=1.csv,b=2.csv]` and
    `{text: v=1.npy}` are what they look like, in every command. What the grammar takes stays as it
    is, sweeps and functions too; but a blank is a blank, `a,b.csv` is the file of that name where
    there is one, and `%m %d, %Y` is a text where nothing is swept.
    """
    is_swept = is_multirun(arguments)
    return [_parsable(argument, is_multirun=is_swept) for argument in arguments]


def is_multirun(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for several runs."""
    return any(argument in _MULTIRUN or argument.startswith(_SWEEPS) for argument in arguments)


def ambiguous(message: str) -> str | None:
    """What to type for values with commas between them; None of another message than Hydra's."""
    found = _AMBIGUOUS.search(message)
    if found is None:
        return None
    key, value = found.groups()
    one = f"{key}={quoted(value, quote=chr(34))}"
    return (
        f"{key} has several values: {value}; type {shlex.quote(f'{key}=[{value}]')} for a list, "
        f"{shlex.quote(one)} for one text with commas in it, or add -m to try one after the other"
    )


def _parsable(argument: str, *, is_multirun: bool) -> str:
    key, sign, value = argument.partition("=")
    if not sign or key[:1] in _NO_OVERRIDE or not _parses(f"{key}=value"):
        return argument
    return f"{key}={_named_there(value) or _taken(value, is_multirun=is_multirun)}"


def _named_there(value: str) -> str:
    """A value that is no more than blanks, or names files that are there; else nothing."""
    if value.isspace() or ("," in value and _exists(value)):
        return quoted(value)
    return _with_files(value) if _is_list(value) else ""


def _taken(value: str, *, is_multirun: bool) -> str:
    """A value as it is where the grammar takes it, or where Hydra should say what is wrong."""
    if _parses(f"key={value}"):
        is_text = not is_multirun and _is_simple_sweep(value) and _NO_WORDS.match(value)
        return quoted(value) if is_text else value
    if _is_list(value):
        return _element(value)
    if _is_mapping(value):
        mapping = _mapping(value)
        return mapping if _parses(f"key={mapping}") else value
    is_closed = all(value.count(opens) == value.count(closes) for opens, closes in ("[]", "{}"))
    if not is_closed or value[:1] in _QUOTES:
        return value
    return ",".join(map(_element, _split(value))) if is_multirun else quoted(value)


def _element(value: str) -> str:
    """A value of a list, a mapping or a sweep, in quotes where it needs them."""
    value = value.strip()
    if _parses(f"key={value}") and not _is_simple_sweep(value):
        return value
    if _is_list(value):
        return f"[{','.join(map(_element, _split(value[1:-1])))}]"
    return _mapping(value) if _is_mapping(value) else quoted(value)


def _is_list(value: str) -> bool:
    return value[:1] == "[" and value[-1:] == "]"


def _is_mapping(value: str) -> bool:
    return value[:1] == "{" and value[-1:] == "}"


def _mapping(value: str) -> str:
    """`{a: x, b: y}` with such values; what has no colon is a part of the value before it."""
    pairs: list[str] = []
    for piece in _split(value[1:-1]):
        if pairs and ":" not in piece:
            pairs[-1] += f",{piece}"
        else:
            pairs.append(piece)
    named = (pair.partition(":") for pair in pairs)
    return f"{{{','.join(f'{name}{colon} {_element(one)}' for name, colon, one in named)}}}"


def _with_files(value: str) -> str:
    """A list in which neighbours with a comma between them are the name of a file; else nothing."""
    pieces, elements = _split(value[1:-1]), []
    while pieces:
        ends = range(len(pieces), 1, -1)
        end = next((end for end in ends if _exists(",".join(pieces[:end]).strip())), 1)
        if all(_exists(piece.strip()) for piece in pieces[:end]):
            end = 1
        elements.append(",".join(pieces[:end]))
        pieces = pieces[end:]
    has_files = len(elements) < len(_split(value[1:-1]))
    shown = (
        quoted(one.strip()) if "," in one and _exists(one.strip()) else one for one in elements
    )
    return f"[{','.join(map(_element, shown))}]" if has_files else ""


def _split(values: str) -> list[str]:
    """What stands between commas, but for those in quotes or brackets."""
    pieces = [""]
    quote, depth = "", 0
    for char in values:
        if char == "," and not quote and depth <= 0:
            pieces.append("")
            continue
        if quote:
            quote = "" if char == quote and not pieces[-1].endswith("\\") else quote
        elif char in _QUOTES and _OPENS.search(pieces[-1]):
            quote = char
        else:
            depth += (char in "[{") - (char in "]}")
        pieces[-1] += char
    return values.split(",") if quote or depth else pieces


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(os.path.expanduser(path)).exists()  # noqa: PTH111
    except (OSError, ValueError):  # too long, or a zero in it
        return False


def _parses(argument: str) -> bool:
    return _parsed(argument) is not None


def _is_simple_sweep(value: str) -> bool:
    """Whether it is `a,b`: without a function, nor brackets."""
    override = _parsed(f"key={value}")
    swept = override.value() if override and override.is_sweep_override() else None
    return isinstance(swept, ChoiceSweep) and swept.simple_form


def _parsed(argument: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None
