"""Takes all trials of a study, as one of several processes: `study_worker.py <folder> <trials>`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler

from missrec.runs.settings import UNMARKED
from missrec.search.space import Grid
from missrec.search.study import SharedStudy

CHOICES: dict[str, BaseDistribution] = {
    "a": CategoricalDistribution([1, 2, 3, 4, 5, 6]),
    "b": CategoricalDistribution(["x", "y"]),
}


def open_study(
    folder: Path,
    *,
    space: Mapping[str, BaseDistribution] = CHOICES,
    sampler: Callable[..., BaseSampler] = Grid,
    pruner: BasePruner | None = None,
    max_trials: float = 8,
    seed: int = 1,
) -> SharedStudy:
    return SharedStudy(
        folder,
        space=space,
        sampler=sampler,
        pruner=pruner or NopPruner(),
        seed=seed,
        max_trials=max_trials,
        settings={"seed": seed},
        marks=UNMARKED,
    )


if __name__ == "__main__":
    study = open_study(Path(sys.argv[1]), max_trials=int(sys.argv[2]))
    while (trial := study.take()) is not None:
        for epoch in range(5):
            study.report(trial, epoch=epoch, value=0.1 * epoch)
        study.tell(trial, value=1.0)
        sys.stdout.write(f"{trial.number}\n")
