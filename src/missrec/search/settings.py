"""What a hyper-parameter search was asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution

from missrec.search.space import lowest, num_combinations
from missrec.search.study import trial_name


class Search(NamedTuple):
    """The settings of a search.

    Attributes:
        name: of the study.
        folder: of the study.
        space: what each parameter is drawn from, by its key in the train config.
        metric: such as `val/ndcg@10`; the largest wins.
        seeds: a trial trains once for each.
        max_trials: of the study; infinite for no limit.
        timeout_sec: no trial starts later; infinite for no limit.
        keep_checkpoints: of finished trials.
    """

    name: str
    folder: Path
    space: dict[str, BaseDistribution]
    metric: str
    seeds: list[int | None]
    max_trials: float
    timeout_sec: float
    keep_checkpoints: bool

    def run_names(self, number: int) -> list[str]:
        """Folders of the runs of a trial, in the order of the seeds."""
        suffixes = [f"_s{seed}" for seed in self.seeds] if len(self.seeds) > 1 else [""]
        return [f"{trial_name(number)}{suffix}" for suffix in suffixes]

    def example(self) -> dict[str, Any]:
        """A point of the space: the first choice and the lowest number of each parameter."""
        return {key: lowest(distribution) for key, distribution in self.space.items()}


def checked_search(search: Search, *, cutoffs: Sequence[int]) -> Search:
    """A search whose settings go together, with no more trials than its space has points.

    Args:
        search: as asked for.
        cutoffs: at which runs measure.

    Raises:
        ValueError: they do not go together.
    """
    metrics = [f"val/{name}@{k}" for name in ("ndcg", "recall", "mrr") for k in cutoffs]
    if search.metric not in metrics:
        raise ValueError(f"search.metric ({search.metric}) must be one of {', '.join(metrics)}")
    if search.max_trials < 1:
        raise ValueError(f"search.num_trials ({search.max_trials}) must be at least 1, or null")
    if not search.seeds:
        raise ValueError("search.seeds is empty; a trial needs one")
    max_trials = min(search.max_trials, num_combinations(search.space))
    if math.inf == max_trials == search.timeout_sec:
        raise ValueError(
            "search.num_trials: null is for spaces of choices alone; give a number, or "
            "search.timeout_sec"
        )
    return search._replace(max_trials=max_trials)
