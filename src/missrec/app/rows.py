"""The commands that make the rows of the tables, and the settings that they make today."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from missrec.app.command_line.project import conf_dir
from missrec.app.prepare import described_splits
from missrec.app.session import compose_train
from missrec.report.datasets import KnownSplit
from missrec.runs.groups import Setup
from missrec.runs.settings import UNMARKED, Marks, comparable_settings, differing, shown

_DATA = ("data", "pretraining_run")
"""Settings that a row's command takes from elsewhere: its data, and what it starts from."""

_NAMED = ("inputs", "transfer")
"""Groups whose choices have names of their own."""


def _choices(group: Path) -> dict[str, str]:
    """The name that a choice gives itself -> the choice."""
    files = sorted(group.glob("*.yaml"))
    return {str(OmegaConf.select(OmegaConf.load(path), "name")): path.stem for path in files}


def _words(command: str) -> list[str]:
    """The words of a part of a command line."""
    try:
        return shlex.split(command)
    except ValueError:  # a name with a single quote, of a run that quoted nothing
        return command.split()


class RowCommands:
    """The commands that make the rows of the tables, and the settings that they make today."""

    def __init__(self, root_dir: Path, *, marks: Marks) -> None:
        """Keeps where `conf/` is, and which settings count."""
        self._root_dir = root_dir
        self._marks = marks.ignoring(_DATA)
        self._settings = cache(self._compose)
        self._choices = {group: _choices(conf_dir(root_dir) / group) for group in _NAMED}

    def command(self, setup: Setup, data_choice: str, seeds: Sequence[int]) -> str:
        """The command line that makes runs of a setup, or a comment that says why none does."""
        arguments = self._arguments(setup)
        if arguments is None:
            return f"# this checkout has no model={setup.model}"
        experiment, *rest = arguments
        if setup.pretrained:
            shaping = (o for o in rest if o.startswith(("model=", "inputs=", "ablation=")))
            rest.append(f"pretrained=<run of experiment=pretrain {' '.join(shaping)}>")
        rest.append(f"seed={','.join(map(str, seeds))}")
        multirun = ["-m"] if len(seeds) > 1 else []
        data = _words(f"data={data_choice}")  # such as data=own data.name=office
        return shlex.join(["python", "src/train.py", *multirun, experiment, *data, *rest])

    def differences(self, setup: Setup, settings: Mapping[str, str]) -> tuple[str, ...] | None:
        """The settings of a run that its command would set otherwise today; None if unknown."""
        today = self._settings(setup._replace(data=""))
        if today is None:
            return None
        own = {key: value for key, value in settings.items() if self._marks.counts(key)}
        different = differing(own, today, marks=self._marks)
        changed = [
            f"{key}={shown(there)} ({'unknown today' if here is None else shown(here)})"
            for key, there, here in different
            if there is not None
        ]
        lacking = [key for key, there, _ in different if there is None]
        return (*changed, *([f"without {', '.join(lacking)}"] if lacking else []))

    def _arguments(self, setup: Setup) -> list[str] | None:
        chosen = {
            "experiment": "finetune" if setup.pretrained else "scratch",
            "model": setup.model,
            "inputs": self._choices["inputs"].get(setup.inputs),
            "transfer": self._choices["transfer"].get(setup.transfer),
            "ablation": setup.ablation,
        }
        conf = conf_dir(self._root_dir)
        for group, choice in chosen.items():
            if not choice or "/" in choice or not (conf / group / f"{choice}.yaml").is_file():
                return None
        return [f"{group}={choice}" for group, choice in chosen.items()]

    def _compose(self, setup: Setup) -> dict[str, str] | None:
        arguments = self._arguments(setup)
        if arguments is None:
            return None
        named = ["names.experiment=report", f"names.model={setup.model}", "run_dir=/run"]
        try:
            config = compose_train(self._root_dir, [*arguments, *named])
            resolved: Any = OmegaConf.to_container(config, resolve=True)
        except (HydraException, OmegaConfBaseException):
            return None  # choices that do not go together, as a run of another version may have
        return comparable_settings(resolved, marks=self._marks)


def known_splits(root_dir: Path) -> list[KnownSplit]:
    """The choices of `conf/split` that need nothing but the data, built."""
    found = []
    for content in described_splits(root_dir).values():
        settings = comparable_settings({"datamodule": {"split": content}}, marks=UNMARKED)
        found.append(KnownSplit(settings, instantiate(content)))
    return found
