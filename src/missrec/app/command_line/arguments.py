"""Command lines as Hydra takes them: of those that go on with a saved run, and of lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from missrec.app.command_line.grammar import as_word, quoted
from missrec.app.command_line.project import project_dir
from missrec.runs.folder import RunFolder, moved
from missrec.runs.trust import refuse_strangers

_PREFIX = "resume="
_FAST = "debug=fast"
_TRUST = "trust="
_OTHER_PROCESS = "other_process_of="
_SAVED = "saved_config"
_LISTS = "lists."
_OF_ONE_COMMAND = {"overwrite": False, "changed_data": "refuse", "new_items": "refuse"}
"""What was said to the command that began the run is not said to the one that goes on with it."""


def resume_arguments(arguments: list[str]) -> list[str]:
    """Command-line arguments that compose the config a run was saved with.

    `[resume=logs/scratch/a, trainer.max_epochs=5]` becomes arguments that take the config of
    `logs/scratch/a` instead of `conf/train.yaml`, write into the same folder, and apply the rest.
    What they leave of the saved config must be nobody's code but this project's, unless
    `trust=true` is among them. Arguments without `resume=` come back as they are.

    Args:
        arguments: without the program's name.

    Raises:
        FileNotFoundError: the folder holds no saved config.
        ValueError: the saved config cannot be read, or names code of a stranger.
    """
    if arguments and arguments[0].startswith(_OTHER_PROCESS):
        folder = RunFolder(Path(arguments[0].removeprefix(_OTHER_PROCESS)))
        return _composing(folder, folder.read_config())
    arguments = [_of_today(argument) for argument in arguments]
    named = [argument for argument in arguments if argument.startswith(_PREFIX)]
    if not named or named[-1] == f"{_PREFIX}null":
        return arguments
    folder = RunFolder(Path(named[-1].removeprefix(_PREFIX)))
    if not folder.config.is_file():
        raise FileNotFoundError(
            f"{folder.config} is missing, so there is nothing to resume; resume= must name a run "
            "folder, such as resume=logs/scratch/<run>"
        )
    rest = [one for one in arguments if not one.startswith((_PREFIX, _TRUST))]
    config = {**_in_this_project(folder.read_config()), **_OF_ONE_COMMAND}
    if f"{_TRUST}true" not in arguments:
        refuse_strangers(_without_removed(config, rest), where=str(folder.config))
    return [*_composing(folder, config), f"resume={quoted(folder.path)}", *rest]


def fast_arguments(arguments: list[str]) -> list[str]:
    """Arguments in which `debug=fast` is one batch of everything, into `logs/debug`.

    It goes before what the user says, which counts. A run that goes on keeps its settings.
    """
    if _FAST not in arguments or any(one.startswith(_PREFIX) for one in arguments):
        return arguments
    batches = [f"++trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
    once = ["++trainer.max_epochs=1", *batches]
    stages = f"stage_overrides=[{','.join(map(as_word, once))}]"
    rest = [one for one in arguments if one != _FAST]
    place = next((n for n, one in enumerate(rest) if not one.startswith("-")), len(rest))
    quiet = [] if any(one.startswith("logger=") for one in rest) else ["logger=csv"]  # a group
    added = [*quiet, "names.experiment=debug", stages, *once]
    return [*rest[:place], *added, *rest[place:]]


def named_lists(arguments: list[str]) -> list[str]:
    """Arguments in which `lists.<name>=<file>` adds a list, whatever its name."""
    return [f"++{one}" if one.startswith(_LISTS) else one for one in arguments]


def other_process_arguments(run_dir: Path) -> list[str]:
    """Command-line arguments that start another process of a run whose config is saved."""
    return [f"{_OTHER_PROCESS}{run_dir.absolute()}"]


def _of_today(argument: str) -> str:
    """An override in the words of today: what was one key, `pretraining`, is a group of stages."""
    key, _, value = argument.partition("=")
    if key == "pretraining":
        return f"stages={','.join('none' if one == 'null' else one for one in value.split(','))}"
    return f"stage_overrides={value}" if key == "pretraining_overrides" else argument


def _in_this_project(config: dict[str, Any]) -> dict[str, Any]:
    """A saved config in the project that goes on with it: a run may come from another place.

    What still is where the run had it stays there.
    """
    paths = config.get("paths")
    root_dir, before = str(project_dir()), paths.get("root_dir") if paths else None
    if not isinstance(before, str) or before == root_dir:
        return config

    def place(value: Any) -> Any:
        is_there = isinstance(value, str) and value != before and Path(value).exists()
        return value if is_there else moved(value, [before], root_dir)

    found: dict[str, Any] = _each(config, place)
    return found


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _each(part, change) for key, part in value.items()}
    return [_each(part, change) for part in value] if isinstance(value, list) else change(value)


def _composing(folder: RunFolder, config: dict[str, Any]) -> list[str]:
    """Arguments with which Hydra composes a saved config."""
    ConfigStore.instance().store(_SAVED, OmegaConf.create(config))
    return [
        f"--config-name={_SAVED}",
        f"hydra.run.dir={quoted(folder.path)}",
        "hydra.output_subdir=null",
        "hydra.job.name=train",
    ]


def _without_removed(config: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """A plain config without what `~key` among the arguments of a command line removes."""
    rest: dict[str, Any] = deepcopy(dict(config))
    for removed in (argument[1:] for argument in arguments if argument.startswith("~")):
        *sections, name = removed.partition("=")[0].split(".")
        place: Any = rest
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(name, None)
    return rest
