"""Keys on a command line that no setting has: which one may be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from missrec.app.command_line.choices import choices
from missrec.app.command_line.project import conf_dir
from missrec.app.command_line.values import overrides

_UNKNOWN = re.compile(r"Could not (?:override|delete(?: from config)?)\.? '([^']+)'")
_SAVED = "--config-name="
_FREE = ("hydra", "claim_gpu")
"""What may be added at the top: Hydra's own part, and what a launcher sets."""


def unknown_key(message: str, command: str, arguments: Sequence[str]) -> str | None:
    """What to say of a key that Hydra does not find; None of another message of its.

    Args:
        message: Hydra's.
        command: name of its primary config.
        arguments: of the command line, without the program's name.
    """
    found = _UNKNOWN.search(message.partition("\n")[0])
    return _said(found[1], _known(command, arguments), command) if found else None


def check_added(command: str, arguments: Sequence[str]) -> None:
    """Refuses `+key=` that nothing reads: a new key at the top, or a misspelt one of a section.

    A section that is built refuses what it does not take itself, and one of parts, such as
    `callbacks`, takes any name.

    Args:
        command: name of its primary config.
        arguments: of the command line, without the program's name.

    Raises:
        ValueError: names the key that may be meant.
    """
    added = [one.key_or_group for one in overrides(arguments) if one.is_add() or one.is_force_add()]
    added = [key for key in added if key.split(".")[0] not in _FREE and "/" not in key]
    if not added:
        return
    cfg = _composed(command, arguments)
    for key in added:
        if "." not in key:
            if key not in cfg and key not in choices(command):
                raise ValueError(_said(key, _known(command, arguments), command))
            continue
        top = key.split(".")[0]
        if top not in cfg:
            raise ValueError(_said(key, _known(command, arguments), command))
        section, _, name = key.rpartition(".")
        place: Any = OmegaConf.select(OmegaConf.masked_copy(cfg, [top]), section)
        if isinstance(place, DictConfig) and name not in place and _is_read_by_name(place):
            names = [str(one) for one in place]
            if nearest := get_close_matches(name, names, n=1, cutoff=0.75):
                raise ValueError(f"there is no {key}; did you mean {section}.{nearest[0]}?")


def check_swept(command: str, arguments: Sequence[str]) -> None:
    """Refuses a key of a multirun that there is not, before Hydra makes the folder of the sweep.

    Where a group is swept the keys below it depend on the job, and only the first part is looked
    at.

    Args:
        command: name of its primary config.
        arguments: of the command line, without the program's name.

    Raises:
        ValueError: names the key that may be meant.
    """
    told, groups = overrides(arguments), choices(command)
    sweeps = {one.key_or_group for one in told if one.is_sweep_override()}
    if not (sweeps or {"-m", "--multirun"} & set(arguments)):
        return
    known = {*_known(command, arguments)}
    depends = bool(sweeps & groups.keys()) or "sweep" in {one.key_or_group for one in told}
    for one in told:
        key = one.key_or_group
        is_open = one.is_add() or one.is_force_add() or key.split(".")[0] in _FREE
        looked_for = key.split(".")[0] if depends else key
        if not (is_open or "/" in key or one.package is not None or looked_for in known):
            raise ValueError(_said(key, sorted(known), command))


def _is_read_by_name(section: DictConfig) -> bool:
    raw: Any = OmegaConf.to_container(section, resolve=False)
    return "_target_" not in raw and not all(isinstance(part, dict) for part in raw.values())


def _said(key: str, known: Sequence[str], command: str) -> str:
    """That there is no such key, and which one may be meant."""
    name = key.rpartition(".")[2]
    by_name = [one for one in known if one.rpartition(".")[2] == name]
    nearest = sorted(by_name, key=lambda one: (one.count("."), one))[:1]
    nearest = nearest or get_close_matches(key, known, n=1, cutoff=0.6)
    if not nearest and (close := get_close_matches(name, [_last(one) for one in known], n=1)):
        nearest = [min((one for one in known if _last(one) == close[0]), key=len)]
    meant = f"did you mean {nearest[0]}?" if nearest else f"`{command} --help=all` lists what is"
    return f"there is no {key}; {meant}"


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _known(command: str, arguments: Sequence[str]) -> list[str]:
    """The keys and groups that the command has, with the choices of its arguments."""
    raw: Any = OmegaConf.to_container(_composed(command, arguments), resolve=False)
    raw.pop("hydra", None)
    return sorted({*_keys(raw, ""), *choices(command)})


def _composed(command: str, arguments: Sequence[str]) -> DictConfig:
    """The config with the choices of a command line, and without its values."""
    named = [argument for argument in arguments if argument.startswith(_SAVED)]
    config = named[-1].removeprefix(_SAVED) if named else command
    groups = choices(command)
    chosen = [
        str(one.input_line)
        for one in overrides(arguments)
        if not (named or one.is_add() or one.is_force_add() or one.is_sweep_override())
        and one.key_or_group in groups
    ]
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name=command):
            return compose(config, chosen)
    finally:
        GlobalHydra.instance().hydra = outer


def _keys(content: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, value in content.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")
