"""Parts of a run that cannot be built as they are described, known before its data is read."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from hydra.utils import get_object, instantiate

_BUILT = ("model", "optimizer", "trainer", "datamodule", "callbacks", "logger")
_OF_EXTRAS = {"wandb": "wandb", "mlflow": "mlflow", "tensorboard": "tensorboard"}
"""Logger -> the package that it needs."""


def check_parts(config: Mapping[str, Any]) -> None:
    """Refuses a part with an argument that it does not take, or that needs what is not installed.

    Args:
        config: of a run, resolved.

    Raises:
        ValueError: names the setting, and the one that may be meant.
    """
    for name in config["logger"]:
        if name in _OF_EXTRAS and find_spec(_OF_EXTRAS[name]) is None:
            raise ValueError(
                f"logger={name} needs {_OF_EXTRAS[name]}, which is not installed; "
                "uv pip install -e '.[tracking]', or choose logger=csv"
            )
    for section in _BUILT:
        for key, part in _parts(config[section], section):
            _check_arguments(key, part)
    _check_heads(config["model"], "model", None)
    instantiate({"split": config["datamodule"]["split"]}, _convert_="all")  # needs no data


def _parts(content: Any, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What is built, at any depth, with its key."""
    if isinstance(content, Mapping):
        if "_target_" in content:
            yield key, content
        for name, part in content.items():
            yield from _parts(part, f"{key}.{name}")


def _check_arguments(key: str, part: Mapping[str, Any]) -> None:
    try:
        taken = inspect.signature(get_object(part["_target_"])).parameters
    except (ImportError, ValueError, TypeError):
        return  # who builds it says what is wrong
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        return
    for name in part:
        if name not in taken and not (name.startswith("_") and name.endswith("_")):
            nearest = get_close_matches(name, taken, n=1)
            meant = f"; did you mean {key}.{nearest[0]}?" if nearest else ""
            raise ValueError(f"{key}: unexpected keyword argument {name!r}{meant}")


def _check_heads(content: Mapping[str, Any], key: str, embed_dim: int | None) -> None:
    """As attention does when it is built, which is after the data is."""
    embed_dim, num_heads = content.get("embed_dim", embed_dim), content.get("num_heads")
    if isinstance(num_heads, int) and isinstance(embed_dim, int) and embed_dim % num_heads:
        raise ValueError(f"{key}: num_heads ({num_heads}) must divide embed_dim ({embed_dim})")
    for name, part in content.items():
        if isinstance(part, Mapping):
            _check_heads(part, f"{key}.{name}", embed_dim)
