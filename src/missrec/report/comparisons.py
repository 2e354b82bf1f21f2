"""Sections completed: rows compared with the reference, flags, and how to make what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from missrec.metrics.paired import knows_ties, read_paired, read_ranks, user_metrics
from missrec.metrics.significance import Pair, PairedDifference, differences_of, holm, paired
from missrec.report.sections import Comparison, ResultRow, Section
from missrec.runs.groups import Group, Run, Setup, other_data

_COMMIT_DIGITS = 8


class PairedTests:
    """Metrics of two groups compared over users; the same pair in two tables is computed once."""

    def __init__(self, *, num_resamples: int, seed: int) -> None:
        """Keeps the settings of the bootstrap."""
        self._num_resamples = num_resamples
        self._seed = seed
        self._done: dict[tuple[object, ...], dict[str, PairedDifference]] = {}

    def differences(
        self, group: Group, reference: Group, metrics: Sequence[str]
    ) -> dict[str, PairedDifference]:
        """Metric -> the group minus the reference.

        Raises:
            FileNotFoundError, ValueError: ranks are missing or broken, or not of the same users.
        """
        key = _key(group, reference, metrics)
        if key not in self._done:
            self._compare({key: _paired(group, reference, metrics)}, metrics)
        return self._done[key]

    def prepare(self, pairs: Iterable[tuple[Group, Group]], metrics: Sequence[str]) -> None:
        """Compares many pairs at once, for which users are drawn once.

        What is wrong with one that cannot be compared is for `differences` to say.
        """
        by_number: dict[int, dict[tuple[object, ...], Pair]] = {}
        for group, reference in pairs:
            with suppress(OSError, ValueError):
                key = _key(group, reference, metrics)
                if key not in self._done:
                    pair = _paired(group, reference, metrics)
                    by_number.setdefault(len(pair.differences), {})[key] = pair
        for alike in by_number.values():
            self._compare(alike, metrics)

    def _compare(self, pairs: Mapping[tuple[object, ...], Pair], metrics: Sequence[str]) -> None:
        every = differences_of(
            list(pairs.values()), num_resamples=self._num_resamples, seed=self._seed
        )
        for key, found in zip(pairs, every, strict=True):
            self._done[key] = dict(zip(metrics, found, strict=True))


def _key(group: Group, reference: Group, metrics: Sequence[str]) -> tuple[object, ...]:
    files = tuple(_rank_file(run) for run in (*group.runs, *reference.runs))
    return files, len(group.runs), tuple(metrics)


def _paired(group: Group, reference: Group, metrics: Sequence[str]) -> Pair:
    tables = read_paired([_rank_file(run) for run in (*group.runs, *reference.runs)])
    num_ours = len(group.runs)
    ours, theirs = (user_metrics(s, metrics) for s in (tables[:num_ours], tables[num_ours:]))
    return paired(ours, theirs, fixed=(not group.learns, not reference.learns))


class Asked(NamedTuple):
    """What sections are completed with.

    Attributes:
        seeds: what a complete row has.
        tests: compare two groups.
        command: the setup, the `data=` that makes its data, and seeds -> the command for them.
        data_notes: name of data -> what a reader must know of it.
        changed_since: how the data of a run differs from what lies in its place today.
    """

    seeds: Sequence[int]
    tests: PairedTests
    command: Callable[[Setup, str, Sequence[int]], str]
    data_notes: Mapping[str, Sequence[str]]
    changed_since: Callable[[Run], Sequence[str]]


def complete_section(section: Section, asked: Asked) -> Section:
    """The section with comparisons, flags, notes and commands."""
    expected = section.dataset.published.get("users") if section.dataset else None
    pairs = list(_pairs(section))
    both = ((row.group, reference.group) for row, reference in pairs)
    comparable = [(a, b) for a, b in both if a and b and not other_data(a, [b])]
    asked.tests.prepare(comparable, section.table.metrics)
    found = {
        (row.label, reference.label): _difference(section, row, reference, asked)
        for row, reference in pairs
    }
    tests = [
        (labels, metric, difference)
        for labels, (differences, _) in found.items()
        for metric, difference in differences.items()
    ]
    p_values = [d.p_value for _, _, d in tests if d.p_value is not None]
    adjusted = iter(holm(p_values))
    comparisons: dict[str, dict[str, dict[str, Comparison]]] = {}
    for (label, reference), metric, difference in tests:
        p_value = None if difference.p_value is None else next(adjusted)
        against = comparisons.setdefault(label, {}).setdefault(reference, {})
        against[metric] = Comparison(difference, p_value)
    apart: dict[str, dict[str, None]] = {}
    for (label, _), (_, reasons) in found.items():
        apart.setdefault(label, {}).update(dict.fromkeys(reasons))  # one reason is told once
    rows = tuple(
        row._replace(
            comparisons=comparisons.get(row.label, {}),
            flags=(*row.flags, *_row_flags(row, expected), *apart.get(row.label, ())),
            command=_command(section, row, asked),
        )
        for row in section.rows
    )
    return section._replace(rows=rows, notes=tuple(_notes(section, asked)))


def _pairs(section: Section) -> Iterator[tuple[ResultRow, ResultRow]]:
    """Each row with each reference it is compared with; of two references once."""
    before: list[str] = []
    for reference in section.references:
        before.append(reference.label)
        yield from ((row, reference) for row in section.rows if row.label not in before)


def _row_flags(row: ResultRow, expected_users: float | None) -> tuple[str, ...]:
    return group_flags(row.group, expected_users=expected_users) if row.group else ()


def group_flags(group: Group, *, expected_users: float | None) -> tuple[str, ...]:
    """What a reader must know of the runs of a row.

    Args:
        group: the runs.
        expected_users: test users of the published set, under leave-one-out all users.
    """
    return tuple(_flags(group, expected_users))


def _flags(group: Group, expected_users: float | None) -> Iterator[str]:
    if stopped := [run for run in group.runs if run.hit_max_epochs]:
        yield f"not converged: stopped on max_epochs ({_seeds(stopped)})"
    if group.differences is None:
        yield "settings not checked: this checkout cannot compose them"
    elif group.differences:
        yield f"custom: {'; '.join(group.differences)}"
    commits = {run.commit for run in group.runs}
    if len(commits) > 1:
        yield f"mixed commits: {', '.join(sorted(_short(commit) for commit in commits))}"
    elif None in commits:
        yield "commit unknown"
    if dirty := [run for run in group.runs if run.dirty]:
        yield f"dirty commit ({_seeds(dirty)})"
    if expected_users is not None:
        for run in group.runs:
            num_users = _num_users(run)
            # Other splits test fewer users, which their settings say.
            if num_users not in {None, expected_users} and "LeaveOneOut" in run.split:
                yield (
                    f"other data: {num_users:,} test users, the known set has "
                    f"{expected_users:,} ({_seeds([run])})"
                )
    yield from _data_flags(group)
    if group.repeats:
        yield f"the newest run of a seed counts, not: {', '.join(r.name for r in group.repeats)}"
    if early := [run for run in group.runs if run.stopped_early]:
        epochs = ", ".join(f"{run.metrics['epochs']:.0f}" for run in early)
        yield f"stopped early: after {epochs} epochs ({_seeds(early)})"


def _data_flags(group: Group) -> Iterator[str]:
    if accepted := [run for run in group.runs if run.accepted]:
        ways = dict.fromkeys(way for run in accepted for way in run.accepted)
        yield f"went on with changed data: {'; '.join(ways)} ({_seeds(accepted)})"
    unknown = [run for run in group.runs if run.data is None]
    if unknown and group.data is not None:
        yield f"data unknown ({_seeds(unknown)})"
    if tieless := [run for run in group.runs if not all(map(knows_ties, run.ranks.values()))]:
        yield f"ties unknown: metrics of the expected rank ({_seeds(tieless)})"


def _seeds(runs: Sequence[Run]) -> str:
    named = ", ".join("unseeded" if run.seed is None else str(run.seed) for run in runs)
    return f"seed{'s' if len(runs) > 1 else ''} {named}"


def _short(commit: str | None) -> str:
    return "unknown" if commit is None else commit[:_COMMIT_DIGITS]


def _num_users(run: Run) -> int | None:
    try:
        return len(read_ranks(_rank_file(run)))
    except (OSError, ValueError):
        return None  # the comparison says so


def _rank_file(run: Run) -> Path:
    if len(run.ranks) != 1:
        raise ValueError(f"{run.name} recorded the ranks of {len(run.ranks)} domains, not of one")
    return next(iter(run.ranks.values()))


def _difference(
    section: Section, row: ResultRow, against: ResultRow, asked: Asked
) -> tuple[dict[str, PairedDifference], tuple[str, ...]]:
    """Metric -> the row minus a reference row; or nothing, and a flag that says why."""
    reference = against.group
    if row.group is None or reference is None:
        return {}, ()
    if apart := other_data(row.group, [reference]):
        return {}, (f"not comparable: other data than the reference: {'; '.join(apart)}",)
    try:
        return asked.tests.differences(row.group, reference, section.table.metrics), ()
    except (ValueError, OSError) as error:
        reason = str(error)
        for run in (*row.group.runs, *reference.runs):
            reason = reason.replace(str(run.folder), run.name)
        return {}, (f"not comparable: {reason}",)


def _command(section: Section, row: ResultRow, asked: Asked) -> str:
    """What makes the seeds that the row lacks, with the settings that its command has today."""
    if row.setup is None or (section.table.is_own and row.group):
        return ""
    counted = row.group if row.group is not None and not row.group.differences else None
    wanted = asked.seeds if row.definition.trained else asked.seeds[:1]
    missing = [seed for seed in wanted if counted is None or seed not in counted.seeds]
    if not missing or (counted and not row.definition.trained):
        return ""
    choices = section.dataset.choices if section.dataset else {}
    made_by = [run.data_choice for own in section.rows if own.group for run in own.group.runs]
    return asked.command(row.setup, choices.get(section.data) or made_by[0], missing)


def _notes(section: Section, asked: Asked) -> Iterator[str]:
    if section.variant.note:
        yield section.variant.note
    yield from asked.data_notes.get(section.data, ())
    runs = section.runs
    changed = dict.fromkeys(text for run in runs for text in asked.changed_since(run))
    if changed:
        yield f"The data is no longer what runs were made on: {'; '.join(changed)}."
    commits = {run.commit for run in runs}
    if len(commits) > 1:
        shown = ", ".join(sorted(_short(commit) for commit in commits))
        yield f"The rows come from {len(commits)} commits: {shown}."
    if section.has_runs and section.references and section.references[0].group is None:
        yield f"Nothing is compared: {section.references[0].label}, the reference, has no run."
