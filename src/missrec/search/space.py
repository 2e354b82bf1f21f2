"""The space of a hyper-parameter search: what each parameter is drawn from, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial


def read_space(described: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """What each key of a search space is drawn from.

    Args:
        described: key of the train config -> `{choices: [...]}`, `{float: [low, high]}` or
            `{int: [low, high]}`, the last two with `log: true` or `step`.

    Raises:
        ValueError: the space is empty, or a description is none of these.
    """
    if not described:
        raise ValueError("search.space is empty; it needs a key, such as optimizer.lr")
    return {str(key): _distribution(str(key), found) for key, found in described.items()}


def _distribution(key: str, described: Any) -> BaseDistribution:
    found = described if isinstance(described, dict) else {}
    rest: dict[str, Any] = {name: found[name] for name in found if name not in {"float", "int"}}
    try:
        match described:
            case {"choices": [*choices]} if choices and len(described) == 1:
                if not all(isinstance(choice, str | int | float | None) for choice in choices):
                    raise ValueError("a choice is a number, a truth value, null or a string")
                return CategoricalDistribution(choices)
            case {"float": [low, high]}:
                return FloatDistribution(low, high, **rest)
            case {"int": [low, high]}:
                return IntDistribution(low, high, **rest)
    except (TypeError, ValueError) as error:
        raise ValueError(f"search.space: {key}: {error}") from error
    raise ValueError(
        f"search.space: {key} ({described}) must be {{choices: [...]}}, {{float: [low, high]}} or "
        "{int: [low, high]}"
    )


def num_combinations(space: Mapping[str, BaseDistribution]) -> float:
    """How many points a space of choices has; infinite for any other."""
    sizes = [
        len(found.choices) if isinstance(found, CategoricalDistribution) else math.inf
        for found in space.values()
    ]
    return math.prod(sizes)


def lowest(distribution: BaseDistribution) -> Any:
    """The first choice, or the lowest number."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low


class NoChoicesError(ValueError):
    """A grid has a parameter that is not drawn from a list."""


class Grid(BaseSampler):
    """Every combination of the choices, in the order of the lists: the n-th in the n-th trial.

    **Differs** from Optuna's GridSampler: nothing is shuffled, and it works with ask-and-tell.
    """

    def __init__(self, *, seed: int | None) -> None:
        """Takes the seed of every sampler; nothing is drawn."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing: the parameters are chosen one by one."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A digit of the trial's number, written with as many values a place as there are choices.

        Raises:
            NoChoicesError: the parameter has no list of choices.
        """
        if not isinstance(param_distribution, CategoricalDistribution):
            raise NoChoicesError(f"{param_name} has no list of choices, which a grid needs")
        before = int(num_combinations(trial.distributions))
        choices = param_distribution.choices
        return choices[trial.number // before % len(choices)]


def suggest(trial: Trial, name: str, distribution: BaseDistribution) -> None:
    """Has the trial draw a parameter, unless it has it already."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_float(name, low, high, step=step, log=log)
