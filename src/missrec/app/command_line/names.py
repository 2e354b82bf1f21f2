"""Names of data: what may become the name of a folder, and a part of others."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

_MAX_BYTES = 120
"""The folder of a run has the name in its own, which may have 255."""
_MAX_BYTES_OF_RUN = 220
"""Its time, or the number of a job, stands beside it."""

_KEPT = {
    "raw": "downloads",
    "images": "fetched images",
    "encoders": "fitted encoders",
    "codes": "item codes",
}
"""What `data/` holds besides the domains."""


def _is_named(kept: str, name: str) -> bool:
    return name.lower() == kept  # some disks take both for one


_FAULTS: dict[str, Callable[[str], bool]] = {
    "is empty": lambda name: not name,
    "has characters that cannot be seen": lambda name: not name.isprintable(),
    "has a slash": lambda name: "/" in name or "\\" in name,
    "begins or ends with a blank": lambda name: name != name.strip(),
    "begins with a dot": lambda name: name.startswith("."),
    **{f"is the folder of {content}": partial(_is_named, kept) for kept, content in _KEPT.items()},
    f"is longer than {_MAX_BYTES} bytes": lambda name: len(name.encode()) > _MAX_BYTES,
}
"""Why a text cannot be the name of a folder in `data/` -> whether it is so."""

_KEY = re.compile(r"\+{0,2}(data\.(?:sources\.[^.=]+\.)?name)")
_WRAPPED = "while resolving interpolation: "


def domain_name(value: Any, setting: str = "data.name") -> str:
    """The name of a domain, of which a folder is made.

    A whole number is the text that it was typed as. What YAML makes of other words, such as nan,
    1e3 or true, might have been typed in several ways.

    Args:
        value: of the setting.
        setting: its key.

    Raises:
        ValueError: no folder can have this name, or the value is no text.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        raise ValueError(f"{setting} is null; name the data, such as {setting}=office")
    if isinstance(value, bool | float):
        is_one_word = isinstance(value, bool) or not math.isfinite(value)
        # 100000.0 may have been typed as 1e5.
        raise _read_otherwise(setting, str(value).lower() if is_one_word else None, value)
    if not isinstance(value, str):
        raise ValueError(f"{setting} ({value}) must be a name, such as {setting}=office")
    for fault, has_it in _FAULTS.items():
        if has_it(value):
            raise ValueError(
                f"{setting} ({value[:_MAX_BYTES]!r}) {fault}; it becomes the name of a folder: "
                f"choose another, such as {setting}=office"
            )
    return value


def check_typed_names(arguments: Sequence[str]) -> None:
    """Refuses names on a command line that are read as values of another spelling, such as 1_000.

    Args:
        arguments: of the command line, without the program's name.

    Raises:
        ValueError: shows how to quote what was typed.
    """
    for argument in arguments:
        key, _, text = argument.partition("=")
        if named := _KEY.fullmatch(key):
            for typed in map(str.strip, text.split(",")):  # several in a multirun
                value = _read(typed)
                if isinstance(value, int | float) and str(value) != typed:
                    raise _read_otherwise(named[1], typed, value)


def _read(typed: str) -> Any:
    """What Hydra makes of a value; None where that is no value."""
    try:
        return OverridesParser.create().parse_override(f"key={typed}").value()
    except HydraException:
        return None


def _read_otherwise(setting: str, typed: str | None, value: float) -> ValueError:
    """That a name is read as something else, and how to quote what was typed, where it is known."""
    kind = "truth value" if isinstance(value, bool) else "number"
    return ValueError(
        f"{setting} ({value if typed is None else typed}) is read as a {kind}, not as a name; "
        f"choose another name, or quote {'it' if typed else 'what you typed'} twice, as in "
        f"'{setting}=\"{typed or '<what you typed>'}\"'"
    )


def named_sources(sources: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The descriptions of sources, each with its name as a text.

    Raises:
        ValueError: see `domain_name`.
    """
    return {
        key: {**source, "name": domain_name(source["name"], f"data.sources.{key}.name")}
        for key, source in sources.items()
    }


def unwrapped(error: InterpolationResolutionError) -> str:
    """What was raised inside an interpolation, without what OmegaConf writes around it."""
    said, _, inner = str(error).partition(_WRAPPED)
    return (inner or said).partition("\n    full_key: ")[0]


def folder_name(value: Any, setting: str) -> str:
    """A name of which a folder is made below another; it may have folders of its own, as `a/b`.

    Args:
        value: of the setting.
        setting: its key.

    Raises:
        ValueError: it is empty, leads out of that folder, or no folder can have it.
    """
    text = str(value)
    if value is None or not text.strip():
        raise ValueError(f"{setting} is empty; leave it out, or name it")
    if ".." in (parts := text.split("/")):
        raise ValueError(f"{setting} ({text}) leads out of the folder of runs; name it otherwise")
    if max(len(part.encode()) for part in parts) > _MAX_BYTES_OF_RUN:
        raise ValueError(
            f"{setting} ({text[:40]}...) is longer than {_MAX_BYTES_OF_RUN} bytes, and becomes "
            "the name of a folder; choose a shorter one"
        )
    return text


OmegaConf.register_new_resolver("domain_name", domain_name, replace=True)
OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
