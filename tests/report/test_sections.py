from __future__ import annotations

from missrec.report.sections import Section, plan_sections, unused_name
from missrec.runs.groups import Group, Run, group_runs
from run_folders import SETUP, a_run
from toy_paper import BASELINE, FLOOR, toy_paper


def planned(*runs: Run) -> dict[str, Section]:
    return {section.title: section for section in plan_sections(toy_paper(), group_runs(runs))}


def shown(section: Section) -> dict[str, str | None]:
    return {row.label: row.group.runs[0].name if row.group else None for row in section.rows}


def test_runs_go_where_their_setup_belongs_whatever_they_are_called() -> None:
    sections = planned(a_run("x", setup=BASELINE), a_run("y", setup=SETUP))
    scratch = sections["Table 9, Toys, from scratch"]
    assert shown(scratch) == {"Base_line": "x", "Ours": "y", "Nobody's": None, "Floor": None}
    assert scratch.rows[0].published == {"recall@10": 0.2, "ndcg@10": 0.1}


def test_a_baseline_is_in_both_variants_but_alone_makes_no_table_of_pre_trained_models() -> None:
    sections = planned(a_run("x", setup=BASELINE))
    assert sections["Table 9, Toys, from scratch"].has_runs
    assert shown(sections["Table 9, Toys, pre-trained"])["Base_line"] == "x"
    assert not sections["Table 9, Toys, pre-trained"].has_runs
    pretrained = planned(a_run("y", setup=SETUP._replace(pretrained=True)))
    assert pretrained["Table 9, Toys, pre-trained"].has_runs
    assert not pretrained["Table 9, Toys, from scratch"].has_runs


def test_the_table_s_own_data_is_shown_without_runs() -> None:
    assert list(planned()) == ["Table 9, Toys, pre-trained", "Table 9, Toys, from scratch"]


def test_other_data_makes_a_section_of_two_rows_that_are_not_floors_alone() -> None:
    def on(data: str, *setups: str) -> bool:
        known = {"ours": SETUP, "base": BASELINE, "floor": FLOOR}
        runs = [a_run(name, setup=known[name]._replace(data=data)) for name in setups]
        return any(section.data == data for section in planned(*runs).values())

    assert on("shop", "ours", "base")
    assert on("shop", "ours", "floor")
    assert not on("shop", "ours")
    other_floor = a_run("b", setup=FLOOR._replace(data="shop"))
    assert not any(s.data == "shop" for s in planned(other_floor).values())


def test_the_same_set_made_another_way_is_a_section_of_its_own() -> None:
    raw = [a_run(s.model, setup=s._replace(data="raw_toys")) for s in (SETUP, BASELINE)]
    sections = planned(*raw, a_run("x", setup=SETUP))
    own = sections["Table 9, Toys as raw_toys, from scratch"]
    assert shown(own)["Ours"] == "missrec"
    assert own.rows[1].published == {"recall@10": 0.4, "ndcg@10": 0.3}
    assert shown(sections["Table 9, Toys, from scratch"])["Ours"] == "x"


def test_other_settings_stay_out_of_the_row() -> None:
    stock = Group((a_run("stock"),), (), ())
    custom = Group(tuple(a_run(f"c{s}", seed=s) for s in (1, 2)), (), ("optimizer.lr=1",))
    (section,) = (
        s for s in plan_sections(toy_paper(), [custom, stock]) if s.variant.name == "from scratch"
    )
    (row,) = section.references
    assert row.group == stock
    assert row.others == (custom,)


def test_the_best_row_is_the_highest_mean_of_several() -> None:
    def scored(name: str, value: float, **changes: object) -> Run:
        return a_run(name, metrics={"test/recall@10": value})._replace(**changes)  # type: ignore[arg-type]

    runs = [scored("x", 0.1, setup=BASELINE), scored("y", 0.5), scored("z", 0.3, seed=2)]
    section = planned(*runs)["Table 9, Toys, from scratch"]
    assert [section.is_best(row, "recall@10") for row in section.rows] == [0, 1, 0, 0]
    alone = planned(runs[0])["Table 9, Toys, from scratch"]
    assert not any(alone.is_best(row, "recall@10") for row in alone.rows)


def test_names_are_plain_short_and_unlike_any_other() -> None:
    assert unused_name("Table 9, Töys/../x", ()) == "table-9-t-ys-x"
    assert unused_name("a_b", {"a-b", "a-b-2"}) == "a-b-3"
    assert unused_name("日本", ()) == "-2"
    assert len(unused_name("x" * 500, ())) == 80
