"""What a command lets one choose: the groups of its config and the files that are their options.

A file or folder of `conf/` whose name begins with "_" is a piece of others and no choice.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import PurePath

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override, ValueType
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from missrec.app.command_line.project import conf_dir
from missrec.app.command_line.values import overrides
from missrec.runs.format import current_data_choice
from missrec.runs.marks import CONF_LOADER

_PIECE = "_"
_SEVERAL = {"callbacks", "logger"}
"""Groups of which several choices go together, as in `logger=[wandb,tensorboard]`."""
_OTHER_CONFIG = ("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd")


@cache
def choices(command: str) -> dict[str, list[str]]:
    """The groups that a command has, each with its options.

    Found by following the defaults lists from `conf/<command>.yaml` through every option, so a
    group that only some choice brings is among them. Hydra's own groups are not.

    Args:
        command: name of its primary config.
    """
    found: dict[str, list[str]] = {}
    waiting, seen = [command], set()
    while waiting:
        while waiting:
            config = waiting.pop()
            if config in seen:
                continue
            seen.add(config)
            for named in _named_by(config):
                if not (conf_dir() / named).is_dir():
                    waiting.append(named)
                elif named not in found and named.split("/")[0] != "hydra":
                    found[named] = _options(named, ".")
                    waiting += [f"{named}/{option}" for option in found[named]]
        for group, options in found.items():
            for folder in _folders(group):
                if f"{group}/{folder}" not in found:  # else its files are no options of this one
                    new = [name for name in _options(group, folder) if name not in options]
                    options.extend(new)
                    waiting += [f"{group}/{name}" for name in new]
    return dict(sorted(found.items()))


def check_choices(command: str, arguments: Sequence[str]) -> None:
    """Refuses a choice on the command line that there is not.

    Args:
        command: name of its primary config.
        arguments: of the command line, without the program's name.

    Raises:
        ValueError: says what the group takes.
    """
    if any(argument.startswith((*_OTHER_CONFIG, "hydra.searchpath")) for argument in arguments):
        return  # what is chosen from is not, or not only, in conf/
    for argument in arguments:
        if (group := argument.removeprefix("~")) != argument and choices(command).get(group):
            raise ValueError(
                f"{argument} leaves out what {command} needs; {group} takes "
                f"{', '.join(choices(command)[group])}"
            )
    for override in overrides(arguments):
        group = override.key_or_group
        _check_slashes(override, choices(command))
        options = choices(command).get(group, [])
        if options and override.package is None and _is_nothing(override):
            raise ValueError(
                f"{override.input_line} chooses nothing; {group} takes {', '.join(options)}"
            )
        if options and override.package is None and _is_list(override) and group not in _SEVERAL:
            raise ValueError(
                f"{override.input_line} names a list; {group} takes one of {', '.join(options)}"
            )
        for chosen in _chosen(override) if options else ():
            if chosen in options or "${" in chosen:
                continue
            today = current_data_choice(chosen) if group == "data" else chosen
            if today != chosen:
                raise ValueError(f"{group}={chosen} is {group}={today} today")
            is_piece = any(part.startswith(_PIECE) for part in chosen.split("/"))
            why = "a piece of other choices, and none itself" if is_piece else "no choice"
            meant, name = "", PurePath(chosen).name.removesuffix(".yaml")
            if not is_piece and (close := get_close_matches(name, options, n=1)):
                meant = f"; did you mean {group}={close[0]}?"
            own = f"; data of your own is data=own data.name={chosen}" if group == "data" else ""
            raise ValueError(
                f"{group}={chosen} is {why}; {group} takes {', '.join(options)}{meant}{own}"
            )


def _check_slashes(override: Override, groups: Mapping[str, Sequence[str]]) -> None:
    """Refuses `model.adapter=linear`: what is chosen of a group is typed with slashes."""
    key = override.key_or_group
    group = key.replace(".", "/")
    if key == group or group not in groups or override.is_sweep_override():
        return
    chosen = override.value()
    if isinstance(chosen, str) and "${" not in chosen:
        raise ValueError(
            f"{key} is a group; type {group}={chosen}, which takes {', '.join(groups[group])}"
        )


def _is_nothing(override: Override) -> bool:
    if override.is_sweep_override():
        return False
    value = override.value()
    return value in ([], None) or isinstance(value, bool | int | float)


def _is_list(override: Override) -> bool:
    return not override.is_sweep_override() and isinstance(override.value(), list)


def _chosen(override: Override) -> Iterator[str]:
    if override.value_type in (ValueType.GLOB_CHOICE_SWEEP, ValueType.RANGE_SWEEP):
        return
    if override.is_sweep_override():
        yield from (str(value).strip("'\"") for value in override.sweep_string_iterator())
        return
    value = override.value()
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, str):
            yield str(entry)


def _named_by(config: str) -> Iterator[str]:
    """Groups and configs that the defaults list of a config names, from `conf/`."""
    path = conf_dir() / f"{config}.yaml"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    content = yaml.load(text, Loader=CONF_LOADER)  # noqa: S506
    for entry in (content or {}).get("defaults", []):
        for name in entry if isinstance(entry, dict) else [entry]:
            place = name.split(" ")[-1].partition("@")[0]  # without "override" and "optional"
            if place != "_self_":
                yield posixpath.normpath(
                    place[1:] if place[0] == "/" else f"{posixpath.dirname(config)}/{place}"
                ).lstrip("/")


def _options(group: str, folder: str) -> list[str]:
    """Those of a group that lie in a folder of it."""
    files = sorted((conf_dir() / group / folder).glob(f"[!{_PIECE}]*.yaml"))
    return [posixpath.normpath(f"{folder}/{path.stem}") for path in files]


def _folders(group: str) -> list[str]:
    return sorted(path.name for path in (conf_dir() / group).glob(f"[!{_PIECE}]*/"))


class ChoicesSource(FileConfigSource):
    """Files of `conf/` as Hydra lists them, for a glob or an error, without the pieces."""

    @staticmethod
    def scheme() -> str:
        """What its place in the search path begins with."""
        return "choices"

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The options of a group."""
        listed: list[str] = super().list(config_path, results_filter)
        return [name for name in listed if not name.startswith(_PIECE)]


class ChoicesSearchPath(SearchPathPlugin):
    """Has Hydra read `conf/` by `ChoicesSource`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Changes the entry of the primary config."""
        for element in search_path.get_path():
            place = element.path.removeprefix("file://")
            if element.provider == "main" and "://" not in place:
                element.path = f"{ChoicesSource.scheme()}://{place}"


def _listed(command: str) -> str:
    """The choices of a command as its `--help` shows them."""
    return "".join(f"{group}: {', '.join(names)}\n" for group, names in choices(command).items())


Plugins.instance().register(ChoicesSource)
Plugins.instance().register(ChoicesSearchPath)
OmegaConf.register_new_resolver("choices", _listed, replace=True)
