"""Markdown, LaTeX, CSV and the page from one toy report with hostile names."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from html_page import HOSTILE, Page
from missrec.report.comparisons import complete_section
from missrec.report.contents import OtherRow, Report, ReportFigure, Statistics
from missrec.report.figures.interactive import curves_plot
from missrec.report.formats.csv import results_csv, runs_csv
from missrec.report.formats.html import page
from missrec.report.formats.latex import latex
from missrec.report.formats.markdown import markdown
from missrec.report.formats.words import MINUS, NONE, mark, p_value, score, signed
from missrec.report.sections import plan_sections
from missrec.runs.groups import Group, Run, group_runs
from run_folders import SETUP, a_run
from serving.chromium import Browser
from toy_paper import BASELINE, FLOOR, asked, ranked_run, toy_paper

KEY = "table-9-toys-from-scratch"
LISTS = {
    "test/coverage@10": 0.25,
    "test/gini@10": 0.5,
    "test/popularity@10": 12.34,
    "test/novelty@10": 3.456,
    "test/diversity_text@10": 0.75,
    "test/serendipity@10": 0.01,
    "test/cold_item_recall@10": 0.125,
    "test/cold_item_users": 8.0,
}


@pytest.fixture
def report(tmp_path: Path) -> Report:
    ours = [
        ranked_run(tmp_path / name, [1.0] * 39 + [30.0], seed=seed)
        for seed, name in enumerate("ab", start=1)
    ]
    base = [
        ranked_run(tmp_path / f"c{seed}", [1.0] * 20 + [30.0] * 20, setup=BASELINE, seed=seed)
        for seed in (1, 3)
    ]
    floor = ranked_run(tmp_path / "f", [30.0] * 40, setup=FLOOR)
    floor = floor._replace(metrics={**floor.metrics, "epochs": 3})  # one seed of what learns
    ours = [
        run._replace(
            metrics={**run.metrics, **LISTS, "test/coverage@10": 0.25 + run.seed / 4},
            settings={"metrics.lists.cold_item": "4"},
        )
        for run in ours
        if run.seed is not None
    ]
    paper = toy_paper()
    planned = plan_sections(paper, group_runs([*ours, *base, floor]))
    sections = [complete_section(section, asked()) for section in planned]
    hostile = a_run(HOSTILE, setup=SETUP._replace(model=HOSTILE), commit=HOSTILE)
    plot = curves_plot({HOSTILE: {HOSTILE: {"val/ndcg@10": {0: 0.1, 1: 0.2}}}}, ["val/ndcg@10"])
    return Report(
        made_at="today",
        sources=(HOSTILE,),
        runs=(*ours, *base, floor, hostile),
        statistics=(Statistics(paper.datasets["Toys"], {"users": 4321}, HOSTILE),),
        sections=tuple(sections),
        others=(OtherRow(HOSTILE, Group((hostile,), ()), (HOSTILE,)),),
        unfinished={HOSTILE: HOSTILE},
        broken={HOSTILE: HOSTILE},
        figures=(
            ReportFigure(KEY, HOSTILE, HOSTILE, plot, ("a",), ((HOSTILE,),), (Path("f.png"),)),
        ),
        figure_notes=(HOSTILE,),
        curves={KEY: plot},
        metrics=("recall@10",),
    )


def test_numbers_are_written_with_their_deviation_sign_and_mark(report: Report) -> None:
    assert score([]) == NONE
    assert score([0.5]) == "0.5000"
    assert score([0.5, 0.7]) == "0.6000 ± 0.1414"
    assert [signed(value, 2) for value in (0.5, -0.5, -0.001)] == ["+0.50", f"{MINUS}0.50", "0.00"]
    assert [p_value(value) for value in (1.0, 0.0123, 0.0009)] == ["1.000", "0.012", "< 0.001"]
    compared = next(row for s in report.filled for row in s.rows if row.comparisons)
    assert [mark(compared.against("Ours")[m]) for m in ("recall@10", "ndcg@10")] == ["▼", "▼"]
    higher = compared.against("Ours")["recall@10"]
    higher = higher._replace(difference=higher.difference._replace(mean=0.1))
    assert mark(higher) == "▲"
    assert mark(higher._replace(adjusted=0.05)) == ""
    assert (mark(higher._replace(adjusted=None)), p_value(None)) == ("", NONE)


def test_markdown_has_ours_beside_the_paper_s_and_escapes_names(report: Report) -> None:
    text = markdown(report)
    assert "| Ours | 2 (seeds 1, 2) | **0.9750 ± 0.0000** | 0.4000 |" in text
    assert "| Base\\_line | 2 (seeds 1, 3) | 0.5000 ± 0.0000 ▼ | 0.2000 |" in text
    assert f"{MINUS}0.4750 (" in text
    assert f"{MINUS}39.0 users |" in text  # one seed: no p
    assert ", over users), " in text
    assert "the interval is over users alone and there is no p" in text
    assert "over the 2 tests of this table" in text
    assert "Only 40 users, fewer than 200: intervals and p are rough." in text
    assert re.search(r", p 0\.0\d\d, detectable 0\.\d{4} \|", text)
    assert f"{MINUS}19.0 users" in text
    assert "train sasrec toys [2]  # Base_line" in text
    assert "- Table 9, Toys, pre-trained" in text  # not run yet
    assert "<script>" not in text.replace("\\<script\\>", "")
    widths = {
        len(re.split(r"(?<!\\)\|", line)) for line in text.split("\n") if line.startswith("| Ours")
    }
    assert widths == {8, 11}  # of accuracy, and of what is recommended


def test_latex_escapes_names_and_balances_its_braces(report: Report) -> None:
    text = latex(report)
    assert r"Base\_line & 2 & 0.5000 $\pm$ 0.0000$^{\blacktriangledown}$" in text
    assert r"\textbf{0.9750 $\pm$ 0.0000}" in text
    assert r"Toys \& \textless{}games\textgreater{}" in text
    body = re.sub(r"(?m)(?<!\\)%.*$", "", text)
    plain = re.sub(r"\\[\\{}%]", "", body)
    assert plain.count("{") == plain.count("}")
    rows = [line for line in body.split("\n") if line.endswith("\\\\") and "Ours" in line]
    assert [row.count("&") for row in rows] == [5, 7]


def test_results_have_a_line_a_metric_that_a_program_reads(report: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(results_csv(report))))
    found = {(line["variant"], line["row"], line["metric"]): line for line in lines}
    ours = found["from scratch", "Ours", "recall@10"]
    assert float(ours["mean"]) == pytest.approx(0.975)
    assert (ours["runs"], ours["seeds"], ours["published"]) == ("2", "1 2", "0.4")
    base = found["from scratch", "Base_line", "recall@10"]
    assert float(base["difference"]) == pytest.approx(-0.475)
    assert float(base["users"]) == pytest.approx(-19)
    assert 0 < float(base["p_value"]) <= float(base["p_value_holm"]) < 0.05
    assert base["interval_over"] == "seeds and users"
    assert float(base["detectable"]) > 0
    alone = found["from scratch", "Floor", "recall@10"]
    assert float(alone["low_95"]) < float(alone["high_95"]) < 0
    assert (alone["p_value"], alone["p_value_holm"], alone["detectable"]) == ("", "", "")
    assert alone["interval_over"] == "users"
    assert found["pre-trained", "Ours", "ndcg@10"]["command"] == "train missrec toys [1, 2]"


def test_runs_are_listed_with_the_rows_that_they_count_in(report: Report) -> None:
    lines = {line["run"]: line for line in csv.DictReader(io.StringIO(runs_csv(report)))}
    assert lines["a"]["rows"] == "Table 9, Toys, from scratch: Ours"
    assert lines[HOSTILE]["rows"] == ""
    assert float(lines["c1"]["test/recall@10"]) == 0.5


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_cell_is_a_formula(report: Report, name: str) -> None:
    run: Run = a_run(name)
    assert f"\n'{name}" in runs_csv(report._replace(runs=(run,)))


def test_the_page_needs_nothing_else_and_runs_no_foreign_script(report: Report) -> None:
    found = Page(page(report))
    assert all(address.startswith(("#", "data:")) for address in found.addresses())
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in found.addresses() if address.startswith("#")} <= set(ids)
    policy = next(a["content"] for _, a in found.tags if "http-equiv" in a)
    assert "default-src 'none'" in (policy or "")
    assert [kind for kind, _ in found.scripts if kind is None] == [None] * 2  # Plotly and ours
    # whatever comes from runs is in texts or in JSON, whole
    assert any(HOSTILE in text for text in found.texts)


def test_the_page_s_plots_are_json_in_which_names_are_texts(report: Report) -> None:
    plots = [json.loads("".join(parts)) for kind, parts in Page(page(report)).scripts if kind]
    assert len(plots) == 2
    assert plots[0]["data"][0]["name"].startswith("&lt;/script&gt;")


def test_columns_sort_by_the_numbers_behind_the_texts(report: Report) -> None:
    found = Page(page(report))
    values = [a["data-value"] for _, a in found.tags if a.get("data-value")]
    assert "0.975" in values
    assert "4321" in values
    buttons = [tag for tag, _ in found.tags if tag == "button"]
    assert buttons


def test_what_is_recommended_stands_beside_accuracy_with_its_floor(report: Report) -> None:
    section = next(section for section in report.filled if section.key == KEY)
    names = [key.removeprefix("test/") for key in LISTS if "@" in key]
    assert section.list_metrics == names
    text = markdown(report)
    header = "| coverage@10 | Gini@10 | popularity@10 | novelty@10 | diversity@10 (text) |"
    assert header in text
    row = "| Ours | 2 (seeds 1, 2) | 0.6250 ± 0.1768 | 0.5000 ± 0.0000 | 12.3 ± 0.0 | 3.46 ± 0.00 |"
    assert row in text
    assert "Cold items occur at most 4 times in training: 8 test users." in text
    assert "Floor, by which the others are read, has no run with them." in text
    assert f"| Floor | 1 (seed 1) |{f' {NONE} |' * len(names)}" in text
    assert "Runs whose lists were not measured (3):" in text
    assert "python src/evaluate.py run=" in text
    assert "- coverage: share of the items that are in any list" in text
    assert "R@10 of cold items" in latex(report)
    assert r"0.6250 $\pm$ 0.1768 & 0.5000" in latex(report)
    lines = csv.DictReader(io.StringIO(results_csv(report)))
    found = {line["row"]: line for line in lines if line["metric"] == "coverage@10"}
    assert float(found["Ours"]["mean"]) == 0.625
    assert found["Floor"]["mean"] == ""
    shown = Page(page(report))
    assert "12.3 ± 0.0" in [text.strip() for text in shown.texts]
    assert "0.625" in [a.get("data-value") for _, a in shown.tags]


def test_a_floor_with_lists_is_no_longer_missed_and_runs_without_any_make_no_table(
    report: Report,
) -> None:
    section = next(section for section in report.filled if section.key == KEY)

    def with_lists(name: str) -> str:
        rows = [
            row._replace(group=row.group._replace(
                runs=tuple(run._replace(metrics={**run.metrics, **LISTS}) for run in row.group.runs)
            )) if row.group and name in {row.label, "all"} else row
            for row in section.rows
        ]  # fmt: skip
        return markdown(report._replace(sections=(section._replace(rows=tuple(rows)),)))

    assert "has no run with them" not in with_lists("Floor")
    assert "not measured" not in with_lists("all")
    bare = [
        row._replace(group=row.group._replace(
            runs=tuple(run._replace(metrics={"test/recall@10": 0.5}) for run in row.group.runs)
        )) if row.group else row
        for row in section.rows
    ]  # fmt: skip
    text = markdown(report._replace(sections=(section._replace(rows=tuple(bare)),)))
    assert "Beyond accuracy" not in text
    assert "Runs whose lists were not measured (5):" in text


def test_the_contents_are_in_the_order_of_the_page(report: Report) -> None:
    filled, *others = report.filled
    own = filled._replace(table=filled.table._replace(is_own=True, title="Mine"))
    text = page(report._replace(sections=(own, filled, *others)))
    contents = re.findall(r'<li><a href="#([\w-]+)">', text.partition("</nav>")[0])
    places = [text.index(f'id="{key}"') for key in contents]
    assert contents[:3] == ["table-1", own.key, "table-2"]
    assert places == sorted(places)


@pytest.mark.slow
def test_the_page_can_be_had_by_everybody(
    report: Report, chromium: Browser, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(page(report), encoding="utf-8")
    assert chromium.against_rules(tmp_path / "page.html") == []
