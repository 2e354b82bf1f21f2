"""What the saved config of a run may name, so that a stranger's run executes no code of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from importlib import import_module
from inspect import isfunction
from typing import Any

_PARTS = (
    "missrec.data",
    "missrec.features.codes",
    "missrec.features.quantization",
    "missrec.interests",
    "missrec.models",
    "missrec.nn",
    "missrec.objectives",
    "missrec.tracking",
    "missrec.training",
)
"""Where the parts of a run are defined: their classes, none of which acts when it is built."""

_FUNCTIONS = (
    "missrec.data.sources.amazon_dumps.amazon_domain",
    "missrec.objectives",
)
"""Functions, and where all of them are pure."""

_KINDS = {
    "torch.optim": ("torch.optim.optimizer.Optimizer", "torch.optim.lr_scheduler.LRScheduler"),
    "pytorch_lightning.Trainer": ("pytorch_lightning.trainer.trainer.Trainer",),
    "pytorch_lightning.callbacks": ("pytorch_lightning.callbacks.callback.Callback",),
    "pytorch_lightning.loggers.CSVLogger": ("pytorch_lightning.loggers.logger.Logger",),
    "pytorch_lightning.loggers.MLFlowLogger": ("pytorch_lightning.loggers.logger.Logger",),
    "pytorch_lightning.loggers.TensorBoardLogger": ("pytorch_lightning.loggers.logger.Logger",),
    "datetime.timedelta": ("datetime.timedelta",),
}
"""Names of libraries, or what they begin with -> of which class it has to be a kind.

Of the loggers those that the project offers: others hand any setting on to a client of theirs.
"""

_OF_HYDRA = ("defaults", "hydra")
"""Sections that no saved config has, and that name code of their own."""

_MADE_ON_FIRST_USE = "missrec.data.sources.demo"
"""The sources that fetch and read nothing, so that a run may make their data unasked."""

_REFERENCE = re.compile(r"\$\{[^${}:]*\}")


class UntrustedError(ValueError):
    """A saved config names what might be a stranger's code."""


def refuse_strangers(
    config: Mapping[str, Any], *, where: str, built: Sequence[str] | None = None
) -> None:
    """Checks that all a saved config has built is defined in this project or known to be harmless.

    What counts is where an object is defined, not the path that leads to it. Nothing is built, and
    nothing is imported but what a run may name.

    Args:
        config: plain, not resolved, with today's names.
        where: it was found, for the message.
        built: the only sections, as dotted keys, of which anything will be built; of what others
            name, nothing is imported, and the name alone is judged. None for all.

    Raises:
        UntrustedError: names the first that is not.
    """
    for section in _OF_HYDRA:
        if section in config:
            raise UntrustedError(f"{where}: {section} is no setting of a run")
    for key, value in _leaves(config, ""):
        if key.rpartition(".")[2] == "_target_":
            is_built = built is None or any(_is_below(key, section) for section in built)
            _check_target(key, value, where, is_built=is_built)
        elif isinstance(value, str) and "${" in _REFERENCE.sub("", value):
            raise UntrustedError(f"{where}: {key} ({value}) refers to more than another setting")
    _check_first_use(config, where)


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Dotted key -> value of all that is no mapping or list; a `_target_` is whole."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping) or key.rpartition(".")[2] == "_target_":
        yield key, value
        return
    for name, part in value.items():
        yield from _leaves(part, f"{key}.{name}" if key else str(name))


def _check_target(key: str, name: object, where: str, *, is_built: bool) -> None:
    found = f"{where}: {key} ({name})"
    if not isinstance(name, str):
        raise UntrustedError(f"{found} is no name")
    kinds = [kind for known, kind in _KINDS.items() if _is_below(name, known)]
    if not kinds and not any(_is_below(name, part) for part in _PARTS):
        raise UntrustedError(f"{found} is none of the parts that a run consists of")
    if not is_built:
        return
    try:
        # As Hydra reaches it; of a name that leads astray only the first module is imported.
        module, _, _ = name.rpartition(".")
        top, *rest = name.split(".")
        import_module(module)
        target = reduce(getattr, rest, import_module(top))
    except (ImportError, AttributeError, ValueError) as error:
        raise UntrustedError(f"{found} does not exist here: {error}") from error
    if not (_is_part(target) or any(_is_kind(target, kind) for kind in kinds)):
        raise UntrustedError(f"{found} is defined elsewhere, or is no class")


def _is_part(target: object) -> bool:
    """Whether it is one of our classes, or a function that may be called."""
    name = _name(target)
    if isinstance(target, type):
        return any(_is_below(name, part) for part in _PARTS)
    return isfunction(target) and any(_is_below(name, part) for part in _FUNCTIONS)


def _is_kind(target: object, kinds: tuple[str, ...]) -> bool:
    """Whether it is a class of the library that the kind is of, and of that kind."""
    return (
        isinstance(target, type)
        and _name(target).partition(".")[0] == kinds[0].partition(".")[0]
        and any(_name(base) in kinds for base in target.__mro__)
    )


def _name(target: object) -> str:
    """Where it is defined; empty of what is no class or function at the top of a module."""
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", ".")
    return f"{module}.{name}" if isinstance(module, str) and "." not in name else ""


def _is_below(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


def _check_first_use(config: Mapping[str, Any], where: str) -> None:
    """Of data that a run makes unasked: a stranger's would fetch what it likes, to where it likes.

    Raises:
        UntrustedError: its source is none of the demo's.
    """
    data = config.get("data", {})
    if not isinstance(data, Mapping):
        raise UntrustedError(f"{where}: data ({data}) is no group of settings")
    if data.get("made_on_first_use") in (False, None):
        return
    for key, value in _leaves(data.get("sources"), "data.sources"):
        is_other = key.endswith("._target_") and not _is_below(str(value), _MADE_ON_FIRST_USE)
        if is_other or "${" in str(value):
            raise UntrustedError(f"{where}: {key} ({value}) would be read unasked to make data")
