"""The commands of a search's trials, and its study, from the settings of `conf/tune.yaml`."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from missrec.app.command_line.grammar import quoted
from missrec.app.command_line.invocation import as_started
from missrec.app.command_line.project import conf_dir
from missrec.runs.marks import read_marks
from missrec.runs.settings import leaves
from missrec.search.settings import Search, checked_search
from missrec.search.space import read_space
from missrec.search.study import SharedStudy

_SEED = "seed"
"""A trial's command names one seed after the other; what the search was given for it is dropped."""

_SWEEP = "sweep"
"""What a sweep varies is among the overrides of each of its searches; a trial sweeps nothing."""


class TuneSettings(NamedTuple):
    """What `python src/tune.py` is asked for; see `conf/tune.yaml`.

    Attributes:
        search: of the config, plain.
        workers: processes.
        seed: of the proposals.
        root_dir: of the project.
        cutoffs: at which runs measure.
        resume: of the config; a search has none.
        devices: of a trial.
        num_nodes: of a trial.
        is_multirun: whether other searches follow in this process.
        overrides: of the command.
    """

    search: dict[str, Any]
    workers: int
    seed: int | None
    root_dir: Path
    cutoffs: list[int]
    resume: str | None
    devices: Any
    num_nodes: int
    is_multirun: bool
    overrides: Sequence[str]


class TrialCommands(NamedTuple):
    """How the runs of a search's trials are asked for, on a command line.

    Attributes:
        search: whose trials they are.
        overrides: of the command, what is for the trials.
        quiet: overrides of all trials that are no part of the command.
    """

    search: Search
    overrides: list[str]
    quiet: list[str]

    def of_trial(self, params: Mapping[str, Any], *, seed: int | None, name: str) -> list[str]:
        """Overrides of the train config for one run of a trial."""
        names = [f"names.group={quoted(self.search.name)}", f"names.run={quoted(name)}"]
        chosen = [*self.chosen(params), f"{_SEED}={_text(seed)}"]
        return [*self.quiet, *self.overrides, *chosen, *names]

    def chosen(self, params: Mapping[str, Any]) -> list[str]:
        """Parameters as overrides."""
        return [f"{key}={_text(value)}" for key, value in params.items()]

    def command(self, params: Mapping[str, Any]) -> str:
        """The command that trains and tests what a trial tried."""
        seeds = f"{_SEED}={','.join(_text(seed) for seed in self.search.seeds)}"
        multirun = ["-m"] if len(self.search.seeds) > 1 else []
        chosen = self.chosen(params)
        words = [*multirun, *self.overrides, *chosen, seeds]
        return as_started(f"python src/train.py {shlex.join(words)}")


def read_search(settings: TuneSettings) -> TrialCommands:
    """Reads and checks the settings of a search.

    Raises:
        ValueError: a setting is wrong.
    """
    _check(settings)
    asked = settings.search
    search = Search(
        name=asked["study"],
        folder=Path(asked["dir"]),
        space=read_space(asked["space"]),
        metric=asked["metric"],
        seeds=asked["seeds"],
        max_trials=math.inf if asked["num_trials"] is None else asked["num_trials"],
        timeout_sec=math.inf if asked["timeout_sec"] is None else asked["timeout_sec"],
        keep_checkpoints=asked["keep_checkpoints"],
    )
    search = checked_search(search, cutoffs=settings.cutoffs)
    own = {_SEED, _SWEEP, *_own_keys(settings.root_dir)}
    kept = [
        o for o in settings.overrides if _key(o) not in search.space and _first_part(o) not in own
    ]
    named = [*map(_key, kept), *search.space]
    quiet = [o for o in asked["trial_overrides"] if not _is_named(_key(o), named)]
    return TrialCommands(search, kept, quiet)


def open_study(settings: TuneSettings, search: Search, probe: Mapping[str, Any]) -> SharedStudy:
    """Opens the study of a search, or starts it.

    Args:
        settings: of the command.
        search: what they come to.
        probe: resolved train config of an example of its trials.

    Raises:
        ValueError: see `SharedStudy`; or the sampler or the pruner has a wrong setting.
    """
    sampler = instantiate(settings.search["sampler"], _convert_="all")
    try:
        pruner = instantiate(settings.search["pruner"], _convert_="all")
    except InstantiationException as error:
        reason = error.__cause__ or error
        raise ValueError(f"search.pruner: {reason}; see conf/search/pruner/") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        optuna.create_study(sampler=sampler(seed=0)).ask(search.space)  # as a rehearsal
    except (TypeError, ImportError) as error:
        raise ValueError(f"search.sampler: {error}; see conf/search/sampler/") from error
    return SharedStudy(
        search.folder,
        space=search.space,
        sampler=sampler,
        pruner=pruner,
        seed=settings.seed,
        max_trials=search.max_trials,
        settings=dict(leaves({"search": {**settings.search, "seed": settings.seed}, **probe})),
        marks=read_marks(conf_dir(settings.root_dir)),
    )


def _check(settings: TuneSettings) -> None:
    if settings.resume is not None:
        raise ValueError("resume: a search goes on when its command is repeated")
    if settings.workers < 0:
        raise ValueError(f"workers ({settings.workers}) must be at least 1")
    if settings.workers > 1 and settings.is_multirun:
        raise ValueError(
            f"workers ({settings.workers}): with -m each search works alone; leave one out"
        )
    if (settings.devices, settings.num_nodes) != (1, 1):
        raise ValueError(
            f"trainer.devices ({settings.devices}): a trial trains on one device; workers=N "
            "starts N processes, on a machine with several GPUs each on its own"
        )


def _own_keys(root_dir: Path) -> set[str]:
    """Where the keys start that `conf/tune.yaml` adds to those of a run."""
    return {str(key) for key in OmegaConf.load(conf_dir(root_dir) / "tune.yaml")} - {"defaults"}


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _first_part(override: str) -> str:
    return re.split(r"[./@]", _key(override))[0]


def _is_named(key: str, named: Sequence[str]) -> bool:
    """Whether one of these is the key or lies below it."""
    return any(name == key or name.startswith(f"{key}.") for name in named)


def _text(value: Any) -> str:
    """A value as on a command line; a string is what would stand there."""
    return value if isinstance(value, str) else json.dumps(value)
