"""Finished runs, and which of them are seeds of one system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from missrec.runs.identity import Identity, changes
from missrec.runs.settings import shown

_MOST_TOLD = 5
"""Settings in which several groups differ, on one line."""


class Setup(NamedTuple):
    """What a row of a table is: a system and the data it ran on, by the names of its config.

    Attributes:
        model: such as `missrec`.
        inputs: `t`, `v`, `tv` or `id`.
        transfer: `inductive` or `transductive`.
        ablation: `full` or what was changed.
        pretrained: whether it started from a run on other data.
        data: name of the data.
    """

    model: str
    inputs: str
    transfer: str
    ablation: str
    pretrained: bool
    data: str


class Run(NamedTuple):
    """One finished run.

    Attributes:
        name: its folder as the report shows it.
        folder: its folder.
        setup: what it is.
        seed: None where it drew its own.
        data_choice: the `data=` that chose its data.
        settings: dotted key -> value as JSON, of all settings in which the seeds of one system
            agree.
        metrics: such as `test/ndcg@10`.
        ranks: domain -> file of the ranks of its test users.
        commit: of the code; None where unknown.
        dirty: whether the code differed from the commit; None where unknown.
        first_stage: whether it is there for another run to start from.
        finished_at: seconds since the epoch.
        data: what it was made on; None where that is not known.
        places: domain -> where its folder lies, see `placed_today`; of those that are known.
        accepted: in which ways its data had changed when it went on all the same.
        is_computed: whether it is no run, but what learns nothing, ranked for a report.
    """

    name: str
    folder: Path
    setup: Setup
    seed: int | None
    data_choice: str
    settings: Mapping[str, str]
    metrics: Mapping[str, float]
    ranks: Mapping[str, Path]
    commit: str | None
    dirty: bool | None
    first_stage: bool
    finished_at: float
    data: Identity | None
    places: Mapping[str, Path]
    accepted: tuple[str, ...]
    is_computed: bool = False

    @property
    def split(self) -> str:
        """What splits its data; runs from before there was a choice have leave-one-out."""
        return self.settings.get("datamodule.split._target_", "LeaveOneOut")

    @property
    def tested(self) -> list[str]:
        """The names of its test metrics, such as `ndcg@10`; of several domains, of their means."""
        return [key[5:] for key in self.metrics if key.startswith("test/") and key.count("/") == 1]

    @property
    def seed_name(self) -> str:
        """What tells it from the other seeds of its system."""
        return self.name if self.seed is None else f"seed {self.seed}"

    @property
    def learns(self) -> bool:
        """Whether it was trained; what was not comes out the same with every seed."""
        return "epochs" in self.metrics

    @property
    def stopped_early(self) -> bool:
        """Whether training ended because validation stopped improving."""
        return bool(self.metrics.get("stopped_early"))

    @property
    def hit_max_epochs(self) -> bool:
        """Whether training ended on its last epoch, not because validation stopped improving."""
        return self.learns and not self.stopped_early


class Group(NamedTuple):
    """Runs that differ in the seed only.

    Attributes:
        runs: one a seed, by rising seed.
        repeats: older runs of seeds that are among `runs`; they do not count.
        differences: settings in which they differ from what their command makes today; None where
            that cannot be said.
    """

    runs: tuple[Run, ...]
    repeats: tuple[Run, ...]
    differences: tuple[str, ...] | None = None

    @property
    def setup(self) -> Setup:
        """What all its runs are."""
        return self.runs[0].setup

    @property
    def seeds(self) -> list[int]:
        """The seeds that are known."""
        return [run.seed for run in self.runs if run.seed is not None]

    @property
    def learns(self) -> bool:
        """Whether its runs were trained."""
        return any(run.learns for run in self.runs)

    @property
    def data(self) -> Identity | None:
        """What its runs were made on; None where none of them knows."""
        return next((run.data for run in self.runs if run.data is not None), None)

    def values(self, metric: str) -> list[float]:
        """A test metric such as `ndcg@10` of each run that has it."""
        return self._values(f"test/{metric}")

    def validation(self, metric: str) -> list[float]:
        """As `values`, on validation."""
        return self._values(f"val/{metric}")

    def _values(self, key: str) -> list[float]:
        return [run.metrics[key] for run in self.runs if key in run.metrics]


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Runs of equal setup, settings and data; of a seed that ran twice, the newest counts.

    Runs that do not know their data are among those that do, where these have one and the same.
    """
    alike: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        alike.setdefault((run.setup, *sorted(run.settings.items())), []).append(run)
    return [_one_a_seed(same) for found in alike.values() for same in _by_data(found)]


def _by_data(runs: Sequence[Run]) -> list[list[Run]]:
    found: list[tuple[Identity, list[Run]]] = []
    unknown = [run for run in runs if run.data is None]
    for run in runs:
        if run.data is None:
            continue
        same = next((own for data, own in found if not changes(data, run.data)), None)
        if same is None:
            found.append((run.data, [run]))
        else:
            same.append(run)
    groups = [own for _, own in found]
    if unknown and len(groups) == 1:
        return [[*groups[0], *unknown]]
    return [*groups, *([unknown] if unknown else [])]


def _one_a_seed(runs: list[Run]) -> Group:
    newest: dict[object, Run] = {}
    for run in sorted(runs, key=lambda run: (run.finished_at, run.name)):
        newest[run.folder if run.seed is None else run.seed] = run
    counted = sorted(newest.values(), key=lambda run: (run.seed is None, run.seed or 0, run.name))
    return Group(tuple(counted), tuple(run for run in runs if run not in counted))


def preferred(groups: Iterable[Group]) -> list[Group]:
    """The groups of one setup, the one that its row shows first.

    First those with the settings that the row's command makes, then larger ones, then newer ones.
    """

    def rank(group: Group) -> tuple[bool, int, float]:
        newest = max(run.finished_at for run in group.runs)
        return group.differences == (), len(group.runs), newest

    return sorted(groups, key=rank, reverse=True)


def own_settings(group: Group, alike: Sequence[Group]) -> list[str]:
    """The settings of a group that most of the groups it is shown among do not have."""
    own = group.runs[0].settings
    found = []
    for key, values in _varied(alike).items():
        if values.count(own.get(key)) <= len(values) / 2:
            found.append(f"{key}={shown(own[key])}" if key in own else f"without {key}")
    return found


def differences(groups: Sequence[Group]) -> list[str]:
    """What several groups differ in: setup and settings with their values, and data."""
    setups = [group.setup._asdict() for group in groups]
    found = {key: [str(setup[key]) for setup in setups] for key in setups[0]}
    found = {key: values for key, values in found.items() if len(set(values)) > 1}
    settings = {
        key: ["none" if value is None else shown(value) for value in values]
        for key, values in _varied(groups).items()
        if key.partition(".")[0] not in found  # what a model sets comes with its name
    }
    told = [f"{key} ({', '.join(dict.fromkeys(own))})" for key, own in (found | settings).items()]
    rest = len(told) - _MOST_TOLD
    more = [f"{rest} more settings"] if rest > 0 else []
    return [*told[:_MOST_TOLD], *more, *other_data(groups[0], groups)]


def _varied(groups: Sequence[Group]) -> dict[str, list[str | None]]:
    """Setting -> its value in each group, of those in which they differ, by name.

    What one part takes from another is said once, where it is set: `split.share`, and not
    `datamodule.split.share` too. Such a part has the same values under the same name.
    """

    def place(key: str) -> tuple[int, bool, str]:
        return key.count("."), key.startswith(("datamodule.", "model.")), key

    every = [group.runs[0].settings for group in groups]
    found: dict[str, list[str | None]] = {}
    for key in sorted({key for own in every for key in own}, key=place):
        values = [own.get(key) for own in every]
        if len(set(values)) == 1:
            continue
        if not any(_is_copy(key, one) and found[one] == values for one in found):
            found[key] = values
    return dict(sorted(found.items()))


def _is_copy(key: str, of: str) -> bool:
    """Whether a setting may be taken from another: below its part, it ends as that one does."""
    return key.endswith((f".{of}", f".{of.partition('.')[2] or of}"))


def other_data(group: Group, alike: Sequence[Group]) -> list[str]:
    """How a group's data differs from that of the first it is shown among that has other data."""
    for other in alike:
        if group.data is not None and other.data is not None:
            found = changes(other.data, group.data)
            if found:
                return found
    return []


def mean_and_deviation(values: list[float]) -> tuple[float, float | None] | None:
    """Mean, and standard deviation of two values or more; None without any."""
    if not values:
        return None
    return mean(values), stdev(values) if len(values) > 1 else None
