"""Names of data: what may become the name of a folder, and a part of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

_MAX_BYTES = 120
"""The folder of a run has the name in its own, which may have 255."""

_FAULTS: dict[str, Callable[[str], bool]] = {
    "is empty": lambda name: not name,
    "has characters that cannot be seen": lambda name: not name.isprintable(),
    "has a slash": lambda name: "/" in name or "\\" in name,
    "begins or ends with a blank": lambda name: name != name.strip(),
    "begins with a dot": lambda name: name.startswith("."),
    "is the folder of downloads": lambda name: name.lower() == "raw",
    f"is longer than {_MAX_BYTES} bytes": lambda name: len(name.encode()) > _MAX_BYTES,
}
"""Why a text cannot be the name of a folder in `data/` -> whether it is so."""

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
        typed, kind = str(value).lower(), "truth value" if isinstance(value, bool) else "number"
        raise ValueError(
            f"{setting} ({typed}) is read as a {kind}, not as a name; choose another name, or "
            f"quote it twice, as in '{setting}=\"{typed}\"'"
        )
    if not isinstance(value, str):
        raise ValueError(f"{setting} ({value}) must be a name, such as {setting}=office")
    for fault, has_it in _FAULTS.items():
        if has_it(value):
            raise ValueError(
                f"{setting} ({value[:_MAX_BYTES]!r}) {fault}; it becomes the name of a folder: "
                f"choose another, such as {setting}=office"
            )
    return value


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


OmegaConf.register_new_resolver("domain_name", domain_name, replace=True)
