"""The format of what a run folder holds, and how older ones are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from missrec.runs.settings import is_below

FORMAT_VERSION = 1
"""Of the configs that are saved today. Those without a version are of format 0."""

_VERSION = "format_version"

MOVED = {
    "missrec.app.interpretation": "missrec.tracking.interpretation",
    "missrec.app.processes": "missrec.training.strategies.ddp",
    "missrec.app.sharding": "missrec.training.strategies.fsdp",
    "missrec.app.space": "missrec.search.space",
    "missrec.app.tracking.wandb_logger": "missrec.tracking.wandb.WandbTracker",
    "missrec.app.wandb_records.WandbRecords": "missrec.tracking.records.Records",
    "missrec.data.amazon": "missrec.data.sources.amazon",
    "missrec.data.demo": "missrec.data.sources.demo",
    "missrec.data.download": "missrec.data.sources.download",
    "missrec.data.filtering": "missrec.data.sources.filtering",
    "missrec.data.lines": "missrec.data.sources.lines",
    "missrec.data.own": "missrec.data.sources.own",
    "missrec.data.released": "missrec.data.sources.released",
    "missrec.tracking.loggers.wandb_logger": "missrec.tracking.wandb.WandbTracker",
    "missrec.tracking.wandb_records.WandbRecords": "missrec.tracking.records.Records",
    "pytorch_lightning.callbacks.EarlyStopping": "missrec.training.callbacks.EarlyStopping",
    "pytorch_lightning.callbacks.ModelCheckpoint": "missrec.training.saving.RunCheckpoint",
}
"""Old name of a module or of what it defines -> its name today; of two that fit, the longer one."""

_KEYS = {"callbacks.wandb_records": "records"}
"""Old key -> its last part today."""

_GONE = {"trainer.strategy.run_dir"}
"""Settings of format 0 that nothing takes any more: the app knows them by itself."""

_BEFORE_STAGES = {"pretraining", "pretraining_same_data", "pretraining_overrides"}
"""What format 0 had for the list of stages; they say how a run started, not what it is."""


_AMAZON = re.compile(r"amazon(\d+)/(\w+)(?: data\.category=(\S+))?")
"""What chose a category of a dump, or all sources, while each had a file of its own."""


def versioned(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config as it is saved: with the version of the format in front."""
    return {_VERSION: FORMAT_VERSION, **config}


def is_versioned(text: str) -> bool:
    """Whether the text of a saved config says its version; only that of format 0 does not."""
    return any(line.startswith(f"{_VERSION}:") for line in text.splitlines())


def current(config: Mapping[str, Any]) -> dict[str, Any]:
    """A saved config of any format as today's code would have saved it, without the version.

    Raises:
        ValueError: it is of a later format than this code knows.
    """
    version = config.get(_VERSION, 0)
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise ValueError(f"format_version ({version!r}) must be a number from 0")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"format_version is {version!r}, and this version of missrec reads up to "
            f"{FORMAT_VERSION}: it was made by a later one"
        )
    rest = {str(key): value for key, value in config.items() if key != _VERSION}
    found: dict[str, Any] = _renamed(rest, "")
    data = found.get("data")
    if isinstance(data, dict) and isinstance(data.get("choice"), str):
        data["choice"] = current_data_choice(data["choice"])
    return _with_stages(found) if version < 1 else found


def current_data_choice(choice: str) -> str:
    """The words that choose today what a `data.choice` chose when it was saved."""
    old = _AMAZON.fullmatch(choice)
    if old is None:
        return choice
    year, name, category = old.groups()
    if name == "sources":
        return f"amazon_sources data.year={year}"
    category = (category or "???") if name == "category" else name
    return f"amazon data.year={year} data.category={category}"


def current_name(name: str) -> str:
    """What a module, class or function is called today."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        moved = MOVED.get(".".join(parts[:length]))
        if moved is not None:
            return ".".join([moved, *parts[length:]])
    return name


def _current_key(key: str) -> str:
    for old, name in _KEYS.items():
        if is_below(key, (old,)):
            return f"{old.rpartition('.')[0]}.{name}{key[len(old) :]}"
    return key


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded settings, dotted key -> value, with the names of today."""
    return {
        _current_key(key): current_name(value)
        if key.endswith("_target_") and isinstance(value, str)
        else value
        for key, value in settings.items()
        if key not in _GONE | _BEFORE_STAGES
    }


def _with_stages(config: dict[str, Any]) -> dict[str, Any]:
    """A config of format 0, in which four keys said what today is one list of stages.

    Its runs had one stage at most; they kept the checkpoint as `pretrained`.
    """
    rest = {key: value for key, value in config.items() if key not in _BEFORE_STAGES}
    named, stages = config.get("pretrained"), []
    if named and config.get("pretraining_same_data"):
        stages, named = [{"experiment": "", "same_data": True, "checkpoint": named}], None
    new = {"overwrite": False, "changed_data": "refuse"}
    overrides = config.get("pretraining_overrides") or []
    return {**new, **rest, "stages": stages, "stage_overrides": overrides, "pretrained": named}


def _renamed(value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        keys = {key: f"{place}.{key}" if place else str(key) for key in value}
        return {
            _KEYS.get(keys[key], key): current_name(part)
            if key == "_target_" and isinstance(part, str)
            else _renamed(part, keys[key])
            for key, part in value.items()
            if keys[key] not in _GONE
        }
    if isinstance(value, list):
        return [_renamed(part, place) for part in value]
    return value
