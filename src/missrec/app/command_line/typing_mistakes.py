"""Arguments that are no settings: what Hydra's grammar says of them nobody understands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from missrec.app.command_line.grammar import WITH_VALUE

_OPTIONS = {
    *("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc"),
    *WITH_VALUE,
}
_ALONE = ("--info", "-i")
"""May stand without a value."""
_CFG, _SHOWN = ("--cfg", "-c"), ("all", "hydra", "job")
_KEY = re.compile(r"(~|\+{0,2})[\w./@:-]+")
_PAIRS = {"[": "]", "{": "}", "(": ")"}
_QUOTES = "'\""
_PLACE = re.compile(
    r"\+{0,2}(against|resume|pretrained|epochs_from|hydra\.(run|sweep)\.dir|(\w+[._])*dir|"
    r"out|to|keys|users|histories|items|allow|block|lists\.\w+|runs|paper|images\.folder)"
)
"""Settings that name a folder or a file: of nothing, that would be where the command is run."""


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuses an argument that is neither an option of a command nor a setting.

    Args:
        arguments: of the command line, without the program's name, options first.

    Raises:
        ValueError: says what is wrong, and what to type.
    """
    _check_options(arguments)
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("-"):
            name = argument.partition("=")[0]
            if name not in _OPTIONS:
                key = name.lstrip("-").replace("-", "_")
                raise ValueError(f"there is no option {name}; settings are typed as {key}=<value>")
        elif before not in WITH_VALUE and not argument.startswith("~"):
            _check_setting(argument)


def _check_options(arguments: Sequence[str]) -> None:
    """Refuses an option without its value, or with one that it has not."""
    for argument, after in pairwise([*arguments, "-"]):
        name, sign, value = argument.partition("=")
        if name not in WITH_VALUE or name in _ALONE:
            continue
        value = value if sign else after
        if not value or value.startswith("-") or "=" in value:
            raise ValueError(f"{name} has no value; type {name} <value>")
        if name in _CFG and value not in _SHOWN:
            raise ValueError(f"{name} {value} must be one of {', '.join(_SHOWN)}")


def _check_setting(argument: str) -> None:
    key, sign, value = argument.partition("=")
    if not sign:
        what = f"{argument}=<value>" if _KEY.fullmatch(argument) else "key=value"
        raise ValueError(f"'{argument}' is no setting; type {what}, without blanks around =")
    if not _KEY.fullmatch(key):
        is_blank = _KEY.fullmatch(key.strip())
        meant = f"type {key.strip()}={value.strip()}, without blanks" if is_blank else "see --help"
        raise ValueError(f"'{key}' is no name of a setting; {meant}")
    if _PLACE.fullmatch(key) and not value.strip(_QUOTES).strip():
        raise ValueError(f"{key.lstrip('+')} is empty; leave it out, or name it")
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException as error:
        raise ValueError(f"{argument}: {_open(value)}") from error


def _open(value: str) -> str:
    """What is wrong with a value that does not parse."""
    for quote in _QUOTES:
        if value.startswith(quote) and value.count(quote) % 2:
            return f"a quote ({quote}) is not closed"
    for opens, closes in _PAIRS.items():
        if value.count(opens) != value.count(closes):
            return f"a {opens} has no {closes}, or a {closes} no {opens}"
    return "the value cannot be read; put it in quotes, as in 'key=\"value\"'"
