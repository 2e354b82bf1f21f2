from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from missrec.report.comparisons import complete_section
from missrec.report.own_tables import BASELINES, OwnTables, own_sections, system_name
from missrec.report.sections import Section
from missrec.runs.groups import Run, group_runs
from run_folders import SETUP, an_identity
from toy_paper import BASELINE, FLOOR, asked, ranked_run, toy_paper

PAPER = toy_paper()
GOOD, POOR = [1.0, 2.0, 3.0, 30.0], [1.0, 30.0, 30.0, 30.0]


def sections(*runs: Run, reference: str | None = None, **changes: Any) -> list[Section]:
    own = OwnTables(("recall@10", "ndcg@10"), "ndcg@10", reference)
    return [
        complete_section(section, asked(**changes))
        for section in own_sections(PAPER, group_runs(runs), own)
    ]


def run(folder: Path, ranks: list[float], *, val: float | None, **changes: Any) -> Run:
    """A run with these ranks on test, and this figure on validation."""
    found = ranked_run(folder, ranks, **changes)
    return found._replace(
        metrics={**found.metrics, **({} if val is None else {"val/ndcg@10": val})}
    )


def labels(section: Section) -> list[str]:
    return [row.label for row in section.filled]


def test_every_system_has_a_row_the_best_on_validation_first_and_what_learns_nothing_last(
    tmp_path: Path,
) -> None:
    (section,) = sections(
        run(tmp_path / "floor", POOR, val=0.9, setup=FLOOR),
        run(tmp_path / "base", POOR, val=0.1, setup=BASELINE),
        run(tmp_path / "ours", GOOD, val=0.2),
        run(tmp_path / "small", GOOD, val=0.3, setup=SETUP._replace(model="own", inputs="t")),
    )
    assert labels(section) == ["own (T+ID)", "missrec (T+V+ID)", "sasrec (ID)", "Floor"]
    assert [row.definition.part for row in section.filled] == ["", "", "", BASELINES]


def test_references_are_the_best_on_validation_and_no_pair_is_tested_twice(tmp_path: Path) -> None:
    (section,) = sections(
        run(tmp_path / "floor", GOOD, val=0.1, setup=FLOOR),
        run(tmp_path / "base", GOOD, val=0.1, setup=BASELINE),  # better on test
        run(tmp_path / "ours", POOR, val=0.2),
    )
    assert section.table.references == ("Floor", "missrec (T+V+ID)")
    against = {row.label: list(row.comparisons) for row in section.filled}
    assert against == {
        "missrec (T+V+ID)": ["Floor"],
        "sasrec (ID)": ["Floor", "missrec (T+V+ID)"],
        "Floor": [],
    }
    lower = section.filled[0].against("Floor")["recall@10"]
    assert lower.difference.mean == -0.5  # one of four users found, not three
    assert "chosen by ndcg@10 on validation, not on test" in section.notes[0]


def test_a_row_alone_is_a_table_that_names_the_baselines_to_run(tmp_path: Path) -> None:
    (section,) = sections(run(tmp_path / "ours", GOOD, val=0.2))
    assert labels(section) == ["missrec (T+V+ID)"]
    assert section.comparisons == []
    assert "No simple baseline has run" in section.notes[0]
    assert [(row.label, row.command) for row in section.empty] == [
        ("Floor", "train most_popular toys [1]")
    ]
    assert section.filled[0].command == ""  # how its own experiment was made is not asked


def test_systems_of_one_name_are_told_apart_by_their_settings(tmp_path: Path) -> None:
    rates = ("0.1", "0.2", "0.3")
    (section,) = sections(
        *(
            run(tmp_path / rate, GOOD, val=0.2, settings={"optimizer.lr": rate, "other": "1"})
            for rate in rates
        )
    )
    assert sorted(labels(section)) == [f"missrec (T+V+ID), optimizer.lr={rate}" for rate in rates]
    assert len(section.filled[0].group.runs if section.filled[0].group else ()) == 1


def test_seeds_are_one_row_and_each_data_set_has_a_table_the_newest_first(tmp_path: Path) -> None:
    seeds = [run(tmp_path / f"s{seed}", GOOD, val=0.2, seed=seed) for seed in (1, 2)]
    shop = run(tmp_path / "shop", GOOD, val=0.2, setup=SETUP._replace(data="shop"))
    found = sections(*seeds, shop._replace(finished_at=9.0))
    assert [section.title for section in found] == ["Your runs, shop", "Your runs, Toys"]
    (row,) = found[1].filled
    assert row.group
    assert row.group.seeds == [1, 2]
    assert row.flags == ("stopped early: after 3, 3 epochs (seeds 1, 2)",)


def test_a_reference_is_a_row_or_a_model_or_one_line_says_which_there_are(tmp_path: Path) -> None:
    runs = [
        run(tmp_path / "base", POOR, val=0.1, setup=BASELINE),
        run(tmp_path / "ours", GOOD, val=0.2),
    ]
    for named in ("sasrec", "sasrec (ID)"):
        (section,) = sections(*runs, reference=named)
        assert section.table.references == ("sasrec (ID)",)
        assert section.compared_with("sasrec (ID)") == [section.rows[0]]
    other = run(tmp_path / "shop", GOOD, val=0.1, setup=SETUP._replace(data="shop"))
    by_title = {s.title: s.table.references for s in sections(*runs, other, reference="sasrec")}
    assert by_title["Your runs, shop"] == ("missrec (T+V+ID)",)
    with pytest.raises(ValueError, match=r"reference: nobody is no row; name one of missrec \(T"):
        sections(*runs, reference="nobody")


def test_damaged_ranks_other_data_and_runs_without_validation_are_no_reference(
    tmp_path: Path,
) -> None:
    damaged = run(tmp_path / "best", GOOD, val=0.9, setup=SETUP._replace(model="best"))
    damaged.ranks["toys"].write_bytes(b"PAR1")
    past = run(tmp_path / "past", GOOD, val=0.8, setup=SETUP._replace(model="past"))
    (section,) = sections(
        damaged,
        past._replace(data=an_identity(items="others")),
        run(tmp_path / "now", GOOD, val=0.3, data=an_identity(), finished_at=9.0),
        run(tmp_path / "unknown", GOOD, val=None, setup=SETUP._replace(model="unknown")),
    )
    assert section.table.references == ("missrec (T+V+ID)",)
    apart = {row.label: row.flags[-1] for row in section.filled if not row.comparisons}
    assert apart["best (T+V+ID)"].startswith("not comparable: ")
    assert apart["past (T+V+ID)"].startswith("not comparable: other data than the reference")
    assert [row.label for row in section.filled if row.comparisons] == ["unknown (T+V+ID)"]
    nothing = sections(run(tmp_path / "x", GOOD, val=None))[0]
    assert nothing.notes[0].startswith("Nothing is compared: no run has ndcg@10 on validation")


def test_runs_that_ranked_other_users_are_told_once(tmp_path: Path) -> None:
    (section,) = sections(
        run(tmp_path / "floor", POOR, val=0.1, setup=FLOOR),
        run(tmp_path / "ours", GOOD, val=0.2),
        run(tmp_path / "base", POOR, val=0.1, setup=BASELINE, first_user=1),
    )
    flags = [flag for flag in section.rows[1].flags if flag.startswith("not comparable")]
    assert len(flags) == 2  # with the floor, and with the model
    assert section.rows[1].comparisons == {}


def test_names_are_the_papers_where_it_has_one() -> None:
    assert system_name(PAPER, SETUP) == "missrec (T+V+ID)"
    text = SETUP._replace(inputs="t", transfer="inductive", ablation="x", pretrained=True)
    assert system_name(PAPER, text) == "missrec (T), x, pre-trained"
    assert system_name(PAPER, FLOOR._replace(inputs="tv")) == "Floor"
