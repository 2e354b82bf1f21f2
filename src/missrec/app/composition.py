"""Refuses a composition whose run would bear a name that is not its own.

A run is named by its model, its inputs, its transfer and its ablation, and lies in the folder of
its experiment. What a name says is in files of `conf/`; choices and settings that are made
elsewhere, in an experiment or on the command line, may contradict it:

- `conf/model/<model>.yaml` declares what the model takes. Where it overrides `transfer`, the model
  has this one alone. Where it overrides `inputs` with ids, it reads no features; else it does.
- an ablation is all that its file says, an experiment that sets `names` all that it chooses.
- `inputs` and `transfer` are what their files say; a second view of the texts is for a model whose
  contrast is of views.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from missrec.runs.settings import is_below, leaves

_NAMED_BY_FILE = ("inputs", "transfer")
_PRETRAINING = "model/pretraining@model"
_TEXT_VIEW = "text_view"  # as in features/store.py, which takes a second to import


class _File(NamedTuple):
    """A config file.

    Attributes:
        content: its own, with interpolations as they are.
        choices: group, with @ and its package where it has one -> the choice made by its defaults.
        parents: configs of its folder that it starts from.
        is_global: whether its content has its place at the top.
    """

    content: dict[str, Any]
    choices: dict[str, str | None]
    parents: list[str]
    is_global: bool


def check_composition(
    config: Mapping[str, Any],
    conf: Path,
    chosen: Mapping[str, str | None],
    overrides: Sequence[str],
) -> None:
    """Refuses a train config in which a name would not hold.

    Args:
        config: composed, not resolved.
        conf: holds the files.
        chosen: group -> its choice.
        overrides: of the command.

    Raises:
        ConfigCompositionException: says what contradicts what.
    """
    told = {override.partition("=")[0] for override in overrides}
    settings = dict(leaves(config))
    for group in ("experiment", "ablation"):
        _check_has_parts(conf, group, chosen)
        _check_named(conf, group, chosen, settings)
    _check_ablation(conf, chosen, told)
    for group in _NAMED_BY_FILE:
        _check_content(conf, f"{group}={chosen[group]}", group, chosen, settings)
    _check_model(conf, chosen, told, settings)


def _check_has_parts(conf: Path, group: str, chosen: Mapping[str, str | None]) -> None:
    """The model has the settings that an experiment or an ablation sets."""
    file = _read(conf, f"{group}/{chosen.get(group)}")
    added = {key: key.partition("@")[2] for key in file.choices if "@model." in key}
    known = [f"model.{key}" for key in _with_parents(conf, f"model/{chosen['model']}")[0]]
    for key, choice in chosen.items():
        if key.startswith("model/") and key not in added:
            place, _, package = key.partition("@")
            prefix = package or place.replace("/", ".")
            known += [f"{prefix}.{name}" for name in _with_parents(conf, f"{place}/{choice}")[0]]
    for key in (*dict(leaves(file.content)), *added.values()):
        is_known = is_below(key, known) or any(is_below(name, [key]) for name in known)
        if key.startswith("model.") and not is_known:
            raise ConfigCompositionException(
                f"{group}={chosen[group]} sets {key}, and model={chosen['model']} has no such part"
            )


def _check_named(
    conf: Path, group: str, chosen: Mapping[str, str | None], settings: Mapping[str, Any]
) -> None:
    """An ablation does all that its file says, an experiment with its own name what it chooses."""
    name = f"{group}={chosen.get(group)}"
    file = _read(conf, f"{group}/{chosen.get(group)}")
    if "names" not in file.content:
        return
    for key, choice in file.choices.items():
        if chosen.get(key) != choice:
            _refuse(name, f"{key}={choice}", f"{key}={chosen.get(key)}")
        if group == "ablation":
            _check_content(conf, name, key, chosen, settings)
    for key, value in dict(leaves(file.content)).items():
        if group == "ablation" and not key.startswith("names."):
            _check_setting(name, key, value, settings)


def _check_ablation(conf: Path, chosen: Mapping[str, str | None], told: set[str]) -> None:
    """Parts that a command leaves out, as an ablation does, are left out by its name."""
    for path in sorted((conf / "ablation").glob("[!_]*.yaml")):
        choices = _read(conf, f"ablation/{path.stem}").choices
        made = {key: choice for key, choice in choices.items() if chosen.get(key) == choice}
        if made and made == choices and chosen["ablation"] != path.stem and told & made.keys():
            by_hand = " ".join(f"{key}={choice}" for key, choice in made.items())
            raise ConfigCompositionException(
                f"{by_hand} is ablation={path.stem}: choose that, so that the run is named by it"
            )


def _check_content(
    conf: Path,
    name: str,
    group: str,
    chosen: Mapping[str, str | None],
    settings: Mapping[str, Any],
) -> None:
    """What a chosen file says itself holds."""
    place, _, package = group.partition("@")
    file = _read(conf, f"{place}/{chosen[group]}")
    prefix = "" if file.is_global else f"{package or place.replace('/', '.')}."
    for key, value in dict(leaves(file.content)).items():
        _check_setting(name, f"{prefix}{key}", value, settings)


def _check_setting(name: str, key: str, value: Any, settings: Mapping[str, Any]) -> None:
    if key not in settings:
        _refuse(name, f"{key}={_text(value)}", f"no {key}")
    if settings[key] != value:
        _refuse(name, f"{key}={_text(value)}", f"{key}={_text(settings[key])}")


def _check_model(
    conf: Path, chosen: Mapping[str, str | None], told: set[str], settings: Mapping[str, Any]
) -> None:
    """The model can do what inputs and transfer say, and does it."""
    model = f"model={chosen['model']}"
    content, declared = _with_parents(conf, f"model/{chosen['model']}")

    def refuse(group: str, fitting: list[str]) -> None:
        takes = " or ".join(f"{group}={choice}" for choice in fitting)
        maker = f"experiment={chosen.get('experiment')}"
        has = "" if group in told or not _names(conf, maker, group) else f", which {maker} has"
        raise ConfigCompositionException(
            f"{model} takes {takes}, not {group}={chosen[group]}{has}; say what it takes, or "
            "choose another model"
        )

    reads = "inputs" not in declared or bool(_modalities(conf, declared["inputs"]))
    fitting = []
    for path in sorted((conf / "inputs").glob("[!_]*.yaml")):
        modalities = _modalities(conf, path.stem)
        takes_views = declared.get("contrast") == "views" or _TEXT_VIEW not in modalities
        if bool(modalities) == reads and takes_views:
            fitting.append(path.stem)
    if chosen["inputs"] not in fitting:
        refuse("inputs", fitting)
    if chosen["transfer"] != declared.get("transfer", chosen["transfer"]):
        refuse("transfer", [str(declared["transfer"])])
    if chosen.get("model/items") != declared.get("items"):
        _refuse(model, f"model/items={declared['items']}", f"model/items={chosen['model/items']}")
    of_pretraining, _ = _with_parents(conf, f"model/pretraining/{chosen.get(_PRETRAINING)}")
    for key, value in content.items():
        followed = re.fullmatch(r"\$\{(inputs|transfer)\..*\}", str(value))
        if followed and key not in of_pretraining and settings.get(f"model.{key}") != value:
            raise ConfigCompositionException(
                f"model.{key} follows {followed[1]}=: choose that, not model.{key}="
            )


def _names(conf: Path, choice: str, group: str) -> bool:
    """Whether a config, or one it starts from, chooses of a group."""
    _, choices = _with_parents(conf, choice.replace("=", "/"))
    return group in choices


def _modalities(conf: Path, inputs: str | None) -> list[str]:
    return list(_read(conf, f"inputs/{inputs}").content["modalities"])


def _with_parents(conf: Path, config: str) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Settings and choices of a config and those it starts from; its own count first."""
    file = _read(conf, config)
    content, choices = dict(leaves(file.content)), dict(file.choices)
    for parent in file.parents:
        inherited, made = _with_parents(conf, parent)
        content, choices = {**inherited, **content}, {**made, **choices}
    return content, choices


def _read(conf: Path, config: str) -> _File:
    """A config file; one that is not in `conf/`, such as a choice of none, says nothing."""
    path = conf / f"{config}.yaml"
    if not path.is_file():
        return _File({}, {}, [], is_global=False)
    return _parsed(path, config, path.stat().st_mtime_ns)


@cache
def _parsed(path: Path, config: str, _written_at: int) -> _File:
    """Once, for a check asks for most files several times, and each job of a sweep checks."""
    loaded: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    choices, parents = {}, []
    for entry in loaded.pop("defaults", []):
        if isinstance(entry, dict):
            ((key, choice),) = entry.items()
            group, _, package = key.split(" ")[-1].removeprefix("/").partition("@")
            own = package in ("", f"_global_.{group}")
            choices[group if own else f"{group}@{package}"] = choice
        elif entry != "_self_" and "@" not in entry:
            parents.append(entry[1:] if entry[0] == "/" else f"{Path(config).parent}/{entry}")
    interpolated = {key for key, choice in choices.items() if "${" in str(choice)}
    kept = {key: choice for key, choice in choices.items() if key not in interpolated}
    is_global = path.read_text(encoding="utf-8").startswith("# @package _global_")
    return _File(loaded, kept, parents, is_global)


def _refuse(name: str, said: str, found: str) -> None:
    raise ConfigCompositionException(
        f"{name} is {said}, and here it would have {found}; leave out one of the two"
    )


def _text(value: Any) -> str:
    """A value as on a command line."""
    return value if isinstance(value, str) else json.dumps(value)
