from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from missrec.report.comparisons import complete_section, group_flags
from missrec.report.sections import Section, plan_sections
from missrec.runs.groups import Group, Run, group_runs
from run_folders import a_run, an_identity, write_ranks
from toy_paper import BASELINE, FLOOR, asked, ranked_run, toy_paper

RANKS = {"ours": [1.0, 2.0, 3.0, 30.0], "base": [1.0, 30.0, 30.0, 30.0]}


def completed(*runs: Run, **changes: Any) -> Section:
    sections = plan_sections(toy_paper(), group_runs(runs))
    (section,) = (s for s in sections if s.variant.name == "from scratch" and s.data == "toys")
    return complete_section(section, asked(**changes))


def rows(section: Section) -> dict[str, Any]:
    return {row.label: row for row in section.rows}


def seeds_of(folder: Path, *ranks: list[float], **changes: Any) -> list[Run]:
    """Runs of seeds 1, 2, ... of one system."""
    return [
        ranked_run(folder / str(seed), own, seed=seed, **changes)
        for seed, own in enumerate(ranks, start=1)
    ]


def test_rows_are_compared_with_the_reference_in_users_and_holm_counts_every_test(
    tmp_path: Path,
) -> None:
    section = completed(
        *seeds_of(tmp_path / "ours", RANKS["ours"], [1.0, 2.0, 30.0, 3.0]),
        *seeds_of(tmp_path / "base", RANKS["base"], [2.0, 30.0, 30.0, 30.0], setup=BASELINE),
        ranked_run(tmp_path / "floor", RANKS["base"], setup=FLOOR),
    )
    found = rows(section)["Base_line"].against("Ours")
    assert found["recall@10"].difference.mean == -0.5
    assert found["recall@10"].num_users == -2.0
    assert rows(section)["Ours"].comparisons == {}
    assert section.num_tests == 4  # two rows x two metrics
    p_values = sorted((test.difference.p_value, test.adjusted) for test in section.comparisons)
    assert p_values[0][1] == pytest.approx(min(1, 4 * p_values[0][0]))


def test_one_seed_of_what_learns_has_no_p_value_and_holm_does_not_count_it(tmp_path: Path) -> None:
    ours = seeds_of(tmp_path / "ours", RANKS["ours"], RANKS["ours"])
    base = ranked_run(tmp_path / "base", RANKS["base"], setup=BASELINE)
    floor = ranked_run(tmp_path / "floor", RANKS["base"], setup=FLOOR)
    section = completed(*ours, base, floor)
    alone = rows(section)["Base_line"].against("Ours")["recall@10"]
    assert (alone.adjusted, alone.difference.over_seeds) == (None, False)
    assert rows(section)["Floor"].against("Ours")["recall@10"].difference.over_seeds  # has no seeds
    assert (section.num_tests, len(section.comparisons)) == (2, 4)
    every = completed(ours[0], base, floor)
    assert (every.num_tests, len(every.comparisons)) == (0, 4)


def test_a_run_whose_ties_nobody_knows_is_flagged(tmp_path: Path) -> None:
    run = ranked_run(tmp_path / "a", [1.0, 2.5])
    assert "ties" not in flags(run, users=None)
    write_ranks(run.ranks["toys"], [1.0, 2.5], ties=False)
    assert flags(run, users=None) == "ties unknown: metrics of the expected rank (seed 1)"


def test_rows_that_ranked_other_users_say_that_they_cannot_be_compared(tmp_path: Path) -> None:
    section = completed(
        ranked_run(tmp_path / "ours", RANKS["ours"]),
        ranked_run(tmp_path / "base", RANKS["base"], setup=BASELINE, first_user=1),
    )
    row = rows(section)["Base_line"]
    assert row.comparisons == {}
    assert row.flags[-1].startswith("not comparable: ")
    assert "did not rank the users and targets of" in row.flags[-1]
    assert str(tmp_path) not in row.flags[-1]  # runs have short names


def test_rows_on_other_data_than_the_reference_are_not_compared(tmp_path: Path) -> None:
    ours = ranked_run(tmp_path / "ours", RANKS["ours"], data=an_identity())
    floor = ranked_run(tmp_path / "floor", RANKS["base"], setup=FLOOR, data=an_identity())
    base = ranked_run(tmp_path / "base", RANKS["base"], setup=BASELINE)
    section = completed(ours, floor, base._replace(data=an_identity(interactions="others")))
    assert rows(section)["Floor"].comparisons
    assert rows(section)["Base_line"].comparisons == {}
    assert rows(section)["Base_line"].flags[-1] == (
        "not comparable: other data than the reference: toys: interactions"
    )
    assert rows(completed(ours, base))["Base_line"].comparisons  # from before data was known


def test_data_that_has_changed_since_is_a_note_said_once(tmp_path: Path) -> None:
    runs = [ranked_run(tmp_path / f"{seed}", RANKS["ours"], seed=seed) for seed in (1, 2)]
    section = completed(*runs, changed_since=lambda run: ["toys: items"])
    notes = [note for note in section.notes if "toys: items" in note]
    assert notes == ["The data is no longer what runs were made on: toys: items."]
    assert not any("no longer" in note for note in completed(*runs).notes)


def test_runs_that_went_on_with_changed_data_or_do_not_know_theirs_are_flagged() -> None:
    accepted = a_run("a", data=an_identity(), accepted=("toys: items",))
    (group,) = group_runs([accepted, a_run("b", seed=2), a_run("c", seed=3, data=an_identity())])
    flags = group_flags(group._replace(differences=()), expected_users=None)
    assert "went on with changed data: toys: items (seed 1)" in flags
    assert "data unknown (seed 2)" in flags
    (old,) = group_runs([a_run("a"), a_run("b", seed=2)])
    assert not any("data" in flag for flag in group_flags(old, expected_users=None))


def test_missing_and_broken_ranks_are_said_and_the_other_rows_still_compared(
    tmp_path: Path,
) -> None:
    base = ranked_run(tmp_path / "base", RANKS["base"], setup=BASELINE)
    floor = ranked_run(tmp_path / "floor", RANKS["base"], setup=FLOOR)
    base.ranks["toys"].write_bytes(b"PAR1")
    section = completed(ranked_run(tmp_path / "ours", RANKS["ours"]), base, floor)
    assert "no whole table of ranks" in rows(section)["Base_line"].flags[-1]
    assert rows(section)["Floor"].comparisons
    without = completed(ranked_run(tmp_path / "o", RANKS["ours"]), base._replace(ranks={}), floor)
    assert "recorded the ranks of 0 domains" in rows(without)["Base_line"].flags[-1]


def test_without_the_reference_nothing_is_compared_and_the_section_says_so(tmp_path: Path) -> None:
    section = completed(ranked_run(tmp_path / "base", RANKS["base"], setup=BASELINE))
    assert section.num_tests == 0
    assert "Nothing is compared: Ours, the reference, has no run." in section.notes
    assert not any("compar" in flag for flag in rows(section)["Base_line"].flags)


def test_a_command_makes_the_seeds_that_are_missing(tmp_path: Path) -> None:
    section = completed(
        a_run("a", seed=2, setup=BASELINE), a_run("f", setup=FLOOR, seed=7), seeds=[1, 2, 3]
    )
    commands = {label: row.command for label, row in rows(section).items()}
    assert commands == {
        "Base_line": "train sasrec toys [1, 3]",
        "Ours": "train missrec toys [1, 2, 3]",
        "Nobody's": "",
        "Floor": "",  # its seeds would be equal
    }
    assert rows(completed())["Floor"].command == "train most_popular toys [1]"


def test_runs_with_other_settings_leave_every_seed_of_the_command_missing() -> None:
    custom = Group((a_run("a"),), (), ("optimizer.lr=1 (0.001)",))
    sections = plan_sections(toy_paper(), [custom])
    row = complete_section(sections[1], asked()).references[0]
    assert row.group == custom
    ended = "stopped early: after 3 epochs (seed 1)"
    assert row.flags == ("custom: optimizer.lr=1 (0.001)", ended)
    assert row.command == "train missrec toys [1, 2]"


def flags(*runs: Run, differences: tuple[str, ...] | None = (), users: int | None = None) -> str:
    (group,) = group_runs(runs)
    *found, last = group_flags(group._replace(differences=differences), expected_users=users)
    assert last.startswith("stopped early: after 3")
    return "\n".join(found)


def test_flags_say_what_a_reader_must_know(tmp_path: Path) -> None:
    late = {"test/recall@10": 0.1, "epochs": 200, "stopped_early": 0}
    assert flags(a_run(), a_run("b", seed=2)) == ""
    assert flags(a_run(), a_run("b", seed=2, metrics=late)) == (
        "not converged: stopped on max_epochs (seed 2)"
    )
    assert flags(a_run(), differences=None).startswith("settings not checked")
    assert flags(a_run(), differences=("a=1 (2)", "b=3 (4)")) == "custom: a=1 (2); b=3 (4)"
    assert flags(a_run(dirty=True), a_run("b", seed=3, dirty=True)) == "dirty commit (seeds 1, 3)"
    assert (
        flags(a_run(), a_run("b", seed=2, commit="b" * 40)) == "mixed commits: aaaaaaaa, bbbbbbbb"
    )
    assert flags(a_run(commit=None, dirty=None)) == "commit unknown"
    assert flags(a_run("new", finished_at=1.0), a_run("old")) == (
        "the newest run of a seed counts, not: old"
    )


def test_early_stopping_is_told_with_its_epochs() -> None:
    def told(*runs: Run) -> tuple[str, ...]:
        (group,) = group_runs(runs)
        return group_flags(group._replace(differences=()), expected_users=None)

    ended = {"test/recall@10": 0.1, "stopped_early": 1}
    runs = [a_run(metrics=ended | {"epochs": 9}), a_run(seed=2, metrics=ended | {"epochs": 11})]
    assert told(*runs) == ("stopped early: after 9, 11 epochs (seeds 1, 2)",)
    assert told(a_run(metrics={"test/recall@10": 0.1})) == ()  # a floor


def test_a_run_on_other_data_than_the_known_set_is_flagged(tmp_path: Path) -> None:
    run = ranked_run(tmp_path / "a", [1.0, 2.0, 3.0])
    assert flags(run, users=3) == ""
    assert flags(run, users=None) == ""
    assert flags(run, users=4) == "other data: 3 test users, the known set has 4 (seed 1)"
    by_time = {"datamodule.split._target_": '"missrec.data.splits.GlobalTime"'}
    assert flags(run._replace(settings=by_time), users=4) == ""  # it tests fewer users


def test_a_section_of_several_commits_and_of_other_data_says_so(tmp_path: Path) -> None:
    section = completed(
        a_run("a"),
        a_run("b", setup=BASELINE, commit="b" * 40),
        data_notes={"toys": ["data/toys is not the known set."]},
    )
    assert section.notes[:2] == ("Nothing is pre-trained.", "data/toys is not the known set.")
    assert "The rows come from 2 commits: aaaaaaaa, bbbbbbbb." in section.notes
