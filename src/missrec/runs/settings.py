"""The settings of a run that its seeds share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def comparable_settings(config: Mapping[str, Any], *, ignored: Sequence[str]) -> dict[str, str]:
    """Dotted key -> value as JSON, without what is ignored and with paths made relative.

    Args:
        config: of a run, resolved.
        ignored: keys, each with all that is below it.
    """
    places = dict(_strings({"run_dir": config.get("run_dir"), "paths": config.get("paths")}))
    by_length = sorted(places.items(), key=lambda place: -len(place[1]))

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(entry) for entry in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)  # 1 and 1.0 are one setting
        for name, path in by_length:
            if isinstance(value, str) and (value == path or value.startswith(f"{path}/")):
                return f"<{name}>{value[len(path) :]}"
        return value

    return {
        key: json.dumps(plain(value), sort_keys=True, default=str)
        for key, value in _leaves(config)
        if not is_below(key, ignored)
    }


def is_below(key: str, names: Sequence[str]) -> bool:
    """Whether a dotted key is one of the names or lies below one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _strings(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((key, text) for key, text in _leaves(config) if isinstance(text, str) and text)


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
