"""What a hyper-parameter search was asked for: checked, and turned into commands of its trials."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution

from missrec.app.compose import quoted
from missrec.search.space import lowest, num_combinations, read_space
from missrec.search.study import SharedStudy, trial_name

_OWN_KEYS = {"search", "workers", "seed"}
"""Where keys of a command start that are not for its trials; seeds are set one by one."""


class Search(NamedTuple):
    """The settings of a search, plain.

    Attributes:
        name: of the study.
        folder: of the study.
        root_dir: of the project.
        space: what each parameter is drawn from, by its key in the train config.
        metric: such as `val/ndcg@10`; the largest wins.
        seeds: a trial trains once for each.
        max_trials: of the study; infinite for no limit.
        timeout_sec: no trial starts later; infinite for no limit.
        keep_checkpoints: of finished trials.
        overrides: of the command, what is for the trials.
        quiet: overrides of all trials that are no part of the command.
    """

    name: str
    folder: Path
    root_dir: Path
    space: dict[str, BaseDistribution]
    metric: str
    seeds: list[int | None]
    max_trials: float
    timeout_sec: float
    keep_checkpoints: bool
    overrides: list[str]
    quiet: list[str]

    def run_names(self, number: int) -> list[str]:
        """Folders of the runs of a trial, in the order of the seeds."""
        suffixes = [f"_s{seed}" for seed in self.seeds] if len(self.seeds) > 1 else [""]
        return [f"{trial_name(number)}{suffix}" for suffix in suffixes]

    def of_trial(self, params: Mapping[str, Any], *, seed: int | None, name: str) -> list[str]:
        """Overrides of the train config for one run of a trial."""
        names = [f"names.group={quoted(self.name)}", f"names.run={quoted(name)}"]
        chosen = [*self.chosen(params), f"seed={_text(seed)}"]
        return [*self.quiet, *self.overrides, *chosen, *names]

    def chosen(self, params: Mapping[str, Any]) -> list[str]:
        """Parameters as overrides."""
        return [f"{key}={_text(value)}" for key, value in params.items()]

    def command(self, params: Mapping[str, Any]) -> str:
        """The command that trains and tests what a trial tried."""
        seeds = "seed=" + ",".join(_text(seed) for seed in self.seeds)
        multirun = ["-m"] if len(self.seeds) > 1 else []
        chosen = self.chosen(params)
        return shlex.join(["python", "src/train.py", *multirun, *self.overrides, *chosen, seeds])

    def example(self) -> dict[str, Any]:
        """A point of the space: the first choice and the lowest number of each parameter."""
        return {key: lowest(distribution) for key, distribution in self.space.items()}


def read_search(cfg: DictConfig, overrides: Sequence[str]) -> Search:
    """Reads and checks the settings of a search.

    Args:
        cfg: the tune config.
        overrides: of the command that composed it.

    Raises:
        ValueError: a setting is wrong.
    """
    search = cfg.search
    described: Any = OmegaConf.to_container(search.space, resolve=True)
    space = read_space(described)
    _check(cfg)
    max_trials = num_combinations(space)
    if search.num_trials is not None:
        max_trials = min(max_trials, search.num_trials)
    if max_trials == math.inf and search.timeout_sec is None:
        raise ValueError(
            "search.num_trials: null is for spaces of choices alone; give a number, or "
            "search.timeout_sec"
        )
    kept = [o for o in overrides if _key(o) not in space and _first_part(o) not in _OWN_KEYS]
    named = [*map(_key, kept), *space]
    return Search(
        name=search.study,
        folder=Path(search.dir),
        root_dir=Path(cfg.paths.root_dir),
        space=space,
        metric=search.metric,
        seeds=list(search.seeds),
        max_trials=max_trials,
        timeout_sec=math.inf if search.timeout_sec is None else search.timeout_sec,
        keep_checkpoints=search.keep_checkpoints,
        overrides=kept,
        quiet=[o for o in search.trial_overrides if not _is_named(_key(o), named)],
    )


def open_study(cfg: DictConfig, search: Search, probe: DictConfig) -> SharedStudy:
    """Opens the study of a search, or starts it.

    Args:
        cfg: the tune config.
        search: its settings.
        probe: train config of an example of its trials.

    Raises:
        ValueError: see `SharedStudy`; or the sampler has a wrong setting.
        InstantiationException: the pruner has.
    """
    sampler = instantiate(cfg.search.sampler, _convert_="all")
    pruner = instantiate(cfg.search.pruner, _convert_="all")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        optuna.create_study(sampler=sampler(seed=0)).ask(search.space)  # as a rehearsal
    except (TypeError, ImportError) as error:
        raise ValueError(f"search.sampler: {error}; see conf/search/sampler/") from error
    asked: Any = OmegaConf.to_container(cfg.search, resolve=True)
    kept = {key: asked[key] for key in ("space", "metric", "seeds", "sampler", "pruner")}
    kept["seed"] = cfg.seed
    trials: Any = OmegaConf.to_container(probe, resolve=True)
    del trials["changed_data"]  # the study itself compares its data
    return SharedStudy(
        search.folder,
        space=search.space,
        sampler=sampler,
        pruner=pruner,
        seed=cfg.seed,
        max_trials=search.max_trials,
        settings=_flat({"search": kept, **trials}),
    )


def _check(cfg: DictConfig) -> None:
    metrics = [f"val/{name}@{k}" for name in ("ndcg", "recall", "mrr") for k in cfg.metrics.cutoffs]
    if cfg.search.metric not in metrics:
        raise ValueError(f"search.metric ({cfg.search.metric}) must be one of {', '.join(metrics)}")
    if cfg.search.num_trials is not None and cfg.search.num_trials < 1:
        raise ValueError(f"search.num_trials ({cfg.search.num_trials}) must be at least 1, or null")
    if not cfg.search.seeds:
        raise ValueError("search.seeds is empty; a trial needs one")
    if cfg.resume is not None:
        raise ValueError("resume: a search goes on when its command is repeated")
    if cfg.workers < 0:
        raise ValueError(f"workers ({cfg.workers}) must be at least 1")
    if cfg.workers > 1 and HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ValueError(f"workers ({cfg.workers}): with -m each search works alone; leave one out")
    if (cfg.trainer.devices, cfg.trainer.num_nodes) != (1, 1):
        raise ValueError(
            f"trainer.devices ({cfg.trainer.devices}): a trial trains on one device; workers=N "
            "starts N processes, on a machine with several GPUs each on its own"
        )


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


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {prefix: value}
    return {
        name: leaf
        for key, part in value.items()
        for name, leaf in _flat(part, f"{prefix}.{key}" if prefix else str(key)).items()
    }
