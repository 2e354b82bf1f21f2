from __future__ import annotations

import pytest

from missrec.runs.groups import (
    differences,
    group_runs,
    mean_and_deviation,
    other_data,
    own_settings,
    preferred,
)
from run_folders import SETUP, a_run, an_identity


def test_runs_that_differ_in_the_seed_only_are_one_group_by_rising_seed() -> None:
    runs = [a_run("b", seed=2), a_run("a", seed=1), a_run("c", seed=10)]
    (group,) = group_runs(runs)
    assert group.seeds == [1, 2, 10]
    assert [run.name for run in group.runs] == ["a", "b", "c"]
    assert group.repeats == ()


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"optimizer.lr": "0.003"}},
        {"setup": SETUP._replace(data="office")},
        {"setup": SETUP._replace(pretrained=True)},
    ],
)
def test_other_settings_are_never_mixed_into_a_group(change: dict[str, object]) -> None:
    alike = {"settings": {"optimizer.lr": "0.001"}}
    groups = group_runs([a_run("a", **alike), a_run("b", seed=2, **{**alike, **change})])  # type: ignore[arg-type]
    assert [len(group.runs) for group in groups] == [1, 1]


def test_runs_on_other_data_are_no_seeds_of_one_system() -> None:
    other = an_identity(items="others")
    runs = [a_run("a", data=an_identity()), a_run("b", seed=2, data=other)]
    runs += [a_run("c", seed=3, data=an_identity())]
    one, two = group_runs(runs)
    assert [[run.name for run in group.runs] for group in (one, two)] == [["a", "c"], ["b"]]
    assert other_data(two, [one, two]) == ["toys: items (the same in another order)"]
    assert other_data(one, [one, two]) == other_data(two, [one, two])


def test_a_run_that_does_not_know_its_data_is_with_those_that_have_no_choice_of_data() -> None:
    known, unknown = a_run("a", data=an_identity()), a_run("b", seed=2)
    (group,) = group_runs([known, unknown])
    assert group.data == an_identity()
    other = a_run("c", data=an_identity(users="others"))
    groups = group_runs([known, unknown, other])
    assert [[run.name for run in group.runs] for group in groups] == [["a"], ["c"], ["b"]]
    assert other_data(groups[2], groups) == []


def test_of_a_seed_that_ran_twice_the_newest_counts_and_the_older_is_kept_apart() -> None:
    runs = [a_run("new", finished_at=2.0), a_run("old", finished_at=1.0), a_run("b", seed=2)]
    (group,) = group_runs(runs)
    assert [run.name for run in group.runs] == ["new", "b"]
    assert [run.name for run in group.repeats] == ["old"]


def test_runs_that_drew_their_own_seed_all_count() -> None:
    (group,) = group_runs([a_run("a", seed=None), a_run("b", seed=None), a_run("c", seed=3)])
    assert [run.name for run in group.runs] == ["c", "a", "b"]
    assert group.seeds == [3]


def test_a_row_prefers_its_command_s_settings_then_more_seeds_then_newer_runs() -> None:
    own, large, small, newer = group_runs(
        [
            a_run("own", settings={"a": "0"}),
            *(a_run(f"large{seed}", seed=seed, settings={"a": "1"}) for seed in (1, 2)),
            a_run("small", settings={"a": "2"}),
            a_run("newer", settings={"a": "3"}, finished_at=9.0),
        ]
    )
    own = own._replace(differences=())
    large, small, newer = (g._replace(differences=("a",)) for g in (large, small, newer))
    assert preferred([small, newer, large, own]) == [own, large, newer, small]


def test_settings_that_most_groups_share_are_not_named() -> None:
    shared = {"a": "1", "b": "2"}
    changes: list[dict[str, str]] = [{}, {"a": "5"}, {"b": '"new"', "c": "null"}]
    groups = group_runs([a_run(str(i), settings=shared | c) for i, c in enumerate(changes)])
    assert [own_settings(group, groups) for group in groups] == [[], ["a=5"], ["b=new", "c=null"]]
    assert own_settings(groups[0], groups[:2]) == ["a=1"]  # of two, neither is the usual one
    lacking = group_runs([a_run("x", settings={"b": "2"}), a_run("y", settings=shared)])
    assert own_settings(lacking[0], lacking) == ["without a"]


def test_what_a_part_takes_from_another_is_said_once() -> None:
    def of(share: str, blocks: str, heads: str) -> dict[str, str]:
        taken = {"split.share": share, "samples.prefixes": share, "model.encoder.blocks": blocks}
        taken |= {"datamodule.split.share": share, "datamodule.prefixes": share}
        taken |= {"data.length": share, "model.encoder.length": share}
        # Settings of their own, though they change together or have one name.
        return taken | {"a": share, "b": share, "model.decoder.blocks": blocks, "own.blocks": heads}

    groups = group_runs([a_run("x", settings=of("1", "2", "4")), a_run("y", settings=of(*"345"))])
    named = [setting.partition("=")[0] for setting in own_settings(groups[0], groups)]
    blocks = ["model.decoder.blocks", "model.encoder.blocks", "own.blocks"]
    assert named == ["a", "b", "data.length", *blocks, "samples.prefixes", "split.share"]
    told = [setting.partition(" ")[0] for setting in differences(groups)]
    assert told[:5] == named[:5]


def test_one_seed_has_no_deviation() -> None:
    assert mean_and_deviation([]) is None
    assert mean_and_deviation([0.5]) == (0.5, None)
    assert mean_and_deviation([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))


def test_only_trained_runs_can_hit_the_last_epoch() -> None:
    assert not a_run(metrics={"test/recall@10": 1.0}).hit_max_epochs
    assert a_run(metrics={"epochs": 5, "stopped_early": 0}).hit_max_epochs
    assert not a_run(metrics={"epochs": 5, "stopped_early": 1}).hit_max_epochs
