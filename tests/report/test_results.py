"""The docs' tables and figures come from the record alone, and the record from runs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.report.formats.words import MINUS, NONE
from missrec.report.paper import read_paper
from missrec.runs.groups import Group
from run_folders import ROOT, a_run, an_identity, record_run, run_config

sys.path.append(str(ROOT / "bench"))

import results
from results_docs import Results, typed_figures
from results_ranks import differences, keep_ranks, read_kept
from results_record import take_new_items, take_runs

SCRATCH = "experiment=scratch data=demo"
PAPER = read_paper(
    {
        "datasets": {"Toys": {"data": {}}},
        "tables": [
            {
                "name": "Table 2",
                "title": "Toys",
                "metrics": ["recall@10", "ndcg@10"],
                "reference": "Ours",
                "datasets": ["Toys"],
                "rows": [
                    {"label": "Ours", "published": {"Toys": [0.1646, 0.0793]}},
                    {"label": "SASRec", "published": {"Toys": [0.1080, 0.0553]}},
                ],
            }
        ],
    }
)
ROWS = {
    "ours": {"label": "Ours", "command": f"{SCRATCH} transfer=transductive"},
    "sasrec": {
        "label": "SASRec",
        "command": f"{SCRATCH} model=sasrec",
        "paper": ["Table 2", "Toys", "SASRec"],
    },
    "floor": {"label": "popular", "command": f"{SCRATCH} model=most_popular", "set": "toys"},
    "paper": {"label": "the paper", "paper": ["Table 2", "Toys", "Ours"], "is_published": True},
}
COLUMNS = [
    ["seeds", "seeds"],
    ["R@10", "score", "test/recall@10"],
    ["N@10", "score", "test/ndcg@10"],
    ["paper", "paper", "recall@10", "ndcg@10"],
    ["against Ours", "difference", "recall@10"],
    ["rate", "rate"],
    ["epochs", "epochs"],
    ["set", "text", "set"],
]
TABLES = {
    "rows": ROWS,
    "tables": {
        "toys": {
            "columns": COLUMNS,
            "rows": ["ours", "sasrec", "floor", "paper"],
            "reference": "ours",
            "command": "make toys",
        },
        "ours": {"columns": COLUMNS, "rows": ["ours"]},
    },
}
BEFORE = {
    "before": "ties",
    "seeds": [1, 2, 3],
    "rate": 0.001,
    "metrics": {
        "test/recall@10": {"mean": 0.1033, "deviation": 0.0018},
        "test/ndcg@10": {"mean": 0.0528},
    },
}


def measured(*, p_value: float | None = None, **changes: Any) -> dict[str, Any]:
    """What the record holds of a row with three seeds."""
    row: dict[str, Any] = {
        "seeds": [1, 2, 3],
        "rate": 0.001,
        "epochs": [17, 15, 15],
        "metrics": {"test/recall@10": [0.14, 0.15, 0.16], "test/ndcg@10": [0.0698, 0.0714, 0.0747]},
    }
    if p_value is not None:
        figures = {"mean": -0.02, "low": -0.03, "high": -0.01, "num_users": 300}
        difference = {**figures, "p_value": p_value, "detectable": 0.012}
        row["against"] = {"ours": {"recall@10": difference}}
    return {**row, **changes}


def toys(**record: Mapping[str, Any]) -> Results:
    return Results(TABLES, record, PAPER)


def cells(table: str, label: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_docs_hold_what_the_record_gives() -> None:
    assert results.fill(ROOT, only_check=True) == []


def test_no_measured_figure_of_the_results_is_typed() -> None:
    assert results.typed(ROOT) == {}


def test_a_typed_figure_is_found_where_no_expression_gives_it() -> None:
    text = "A .1234, 0.0553 and 4 %; `x=.1111`, 512 of 1.2345, <!--=figure()-->.9999, 5 %<!--/-->."
    assert typed_figures(text) == [".1234", "0.0553", "4 %"]


def test_a_table_has_the_rows_that_were_measured_and_says_how_to_read_them() -> None:
    ours, sasrec = measured(), measured(p_value=0.02)
    assert toys(ours=ours, sasrec=sasrec).table("toys").strip().replace(MINUS, "-").replace(
        NONE, "~"
    ).splitlines() == [
        "| | seeds | R@10 | N@10 | paper | against Ours | rate | epochs | set |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| Ours | 3 | .1500 ± .0100 | .0720 ± .0025 | ~ | | 0.001, not tuned | 15~17 | |",
        "| SASRec | 3 | .1500 ± .0100 | .0720 ± .0025 | .1080 (+38.9 %), .0553 (+30.1 %) "
        "| -.0200 ▼ (-.0300 to -.0100), p .020, detectable .0120 | 0.001, not tuned | 15~17 | |",
        "| the paper | ~ | .1646 | .0793 | ~ | | ~ | ~ | |",
        "",
        "Differences are row minus Ours, paired over users, with 95 % intervals over seeds and "
        "users. p is Holm's, over the 1 test of this table; ▲ and ▼ mark p < .05. Detectable is "
        "the true difference that 80% of such comparisons would find, at .05 and without Holm's "
        "correction.",
    ]


def test_rows_of_before_are_marked_and_have_no_difference() -> None:
    shown = toys(sasrec=BEFORE).table("toys")
    assert cells(shown, "SASRec °")[1] == ".1033 ± .0018"
    assert "against Ours" not in shown
    assert "° Measured before ties" in shown
    assert "`make toys` makes them anew" in shown


def test_p_values_are_holms_over_the_table() -> None:
    shown = toys(sasrec=measured(p_value=0.02), floor=measured(p_value=0.03)).table("toys")
    assert "p .040" in cells(shown, "SASRec")[4]  # twice .02
    assert "p .040" in cells(shown, "popular")[4]  # not below the smaller one's


def test_metrics_that_a_table_does_not_compare_are_no_tests_of_it() -> None:
    row = measured(p_value=0.02)
    row["against"]["ours"]["ndcg@50"] = row["against"]["ours"]["recall@10"]
    assert "p .020" in cells(toys(sasrec=row).table("toys"), "SASRec")[4]


def test_one_seed_has_an_interval_over_users_and_no_p() -> None:
    row = measured(p_value=0.5)
    row["against"]["ours"]["recall@10"] |= {"p_value": None, "detectable": None}
    shown = toys(sasrec=row).table("toys")
    assert cells(shown, "SASRec")[4].replace(MINUS, "-") == "-.0200 (-.0300 to -.0100, over users)"
    assert "nothing says how far another seed would come" in shown


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        ({}, "0.001, not tuned"),
        ({"0.001": 0.06, "0.003": 0.05}, "0.001, best of 2"),
        ({"0.001": 0.05, "0.003": 0.06}, "0.001; on validation 0.003 is better"),
    ],
)
def test_a_rate_is_tuned_where_others_were_tried(tried: dict[str, float], said: str) -> None:
    assert cells(toys(ours=measured(rates=tried)).table("toys"), "Ours")[4] == said


def test_expressions_in_prose_come_from_the_record() -> None:
    text = (
        '<!--=behind("sasrec", "test/recall@10")-->4 %<!--/--> and '
        '<!--= behind("sasrec", "test/ndcg@10") --><!--/-->'
    )
    filled = toys(sasrec=BEFORE).filled(text)
    assert filled == (
        '<!--=behind("sasrec", "test/recall@10")-->4.4 %<!--/--> and '
        '<!--= behind("sasrec", "test/ndcg@10") -->4.5 %<!--/-->'
    )
    assert toys(sasrec=BEFORE).filled(filled) == filled


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('figure("nobody", "test/ndcg@10")', "nobody"),
        ('figure("ours", "test/mrr@10")', "ours has no test/mrr@10"),
        ('behind("ours", "test/ndcg@10")', "ours has no published ndcg@10"),
        ('invented("ours")', "invented"),
    ],
)
def test_an_expression_without_an_answer_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        toys(ours=measured()).filled(f"<!--={expression}--><!--/-->")


def test_a_row_that_no_table_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="stranger is not among the rows"):
        toys(stranger=measured())


def record_system(top: Path, *overrides: str, seeds: list[int], first_rank: int = 1) -> None:
    """Runs whose users 0..29 have ranks that differ from seed to seed.

    Their folders were named relative to where the command ran.
    """
    for seed in seeds:
        ranks = [first_rank + (seed * user) % 20 for user in range(30)]
        name = f"{'_'.join(overrides)}_s{seed}".replace("=", "_")
        place = f"logs/{name}/checkpoints"
        config = run_config(
            "data=demo", *overrides, seed=seed, callbacks__checkpoint__dirpath=place
        )
        record_run(top / name, config, ranks, data=an_identity())


def record_trial(top: Path, rate: float, value: float) -> None:
    config = run_config("data=demo", "model=sasrec", optimizer__lr=rate)
    folder = record_run(top / f"trial_{rate:g}", config, [1])
    (folder / "metrics.json").rename(folder / "validation.json")
    (folder / "validation.json").write_text(json.dumps({"val/ndcg@10": value}))


def taken(top: Path, **record: Mapping[str, Any]) -> dict[str, Any]:
    return take_runs(toys(**record), record, [str(top)], ranks_dir=top / "ranks")


def test_the_record_takes_the_runs_of_a_rows_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record_system(tmp_path, "transfer=transductive", seeds=[1, 2])
    record_system(tmp_path, "model=sasrec", seeds=[1, 2], first_rank=5)
    record_system(tmp_path, "model=sasrec", "optimizer.lr=0.5", seeds=[3])
    record_trial(tmp_path / "study", 0.001, 0.05)
    record_trial(tmp_path / "study", 0.003, 0.06)
    found = taken(tmp_path, sasrec=BEFORE)
    assert list(found) == ["ours", "sasrec"]
    assert [record.args[1] for record in caplog.records] == [[3]]  # of another learning rate
    row = found["sasrec"]
    assert (row["seeds"], row["rate"], row["commits"]) == ([1, 2], 0.001, ["a" * 8])
    assert row["rates"] == {"0.001": 0.05, "0.003": 0.06}
    assert row["metrics"]["test/recall@10"] == [0.4, 0.3]  # 12 and 9 of 30 users
    differences = row["against"]["ours"]
    assert differences["recall@10"]["mean"] == pytest.approx(
        sum(row["metrics"]["test/recall@10"]) / 2
        - sum(found["ours"]["metrics"]["test/recall@10"]) / 2,
        abs=2e-6,
    )
    assert 0 < differences["recall@10"]["p_value"] <= 1
    assert "user" not in json.dumps(found).replace("num_users", "")
    assert "p .0" in toys(**found).table("toys") or "p < .0" in toys(**found).table("toys")


def test_a_row_with_more_seeds_stays_and_one_of_before_gives_way_to_two(tmp_path: Path) -> None:
    record_system(tmp_path, "model=sasrec", seeds=[1, 2])
    assert taken(tmp_path, sasrec=measured())["sasrec"]["seeds"] == [1, 2, 3]
    assert taken(tmp_path, sasrec=BEFORE)["sasrec"]["seeds"] == [1, 2]
    shutil.rmtree(tmp_path / "model_sasrec_s2")
    assert taken(tmp_path, sasrec=BEFORE)["sasrec"] == {**BEFORE, "against": {}}


def test_a_difference_goes_with_the_figures_that_it_was_of(tmp_path: Path) -> None:
    record_system(tmp_path, "transfer=transductive", seeds=[1, 2, 3])
    found = taken(tmp_path, ours=measured(), sasrec=measured(p_value=0.02))
    assert found["sasrec"]["metrics"] == measured()["metrics"]
    assert found["sasrec"]["against"] == {}


def test_a_row_is_compared_with_one_whose_runs_are_gone(tmp_path: Path) -> None:
    first, later = tmp_path / "first", tmp_path / "later"
    record_system(first, "transfer=transductive", seeds=[1, 2])
    record_system(later, "model=sasrec", seeds=[1, 2], first_rank=5)
    at_once = taken(tmp_path)["sasrec"]["against"]
    shutil.rmtree(tmp_path / "ranks")
    record = taken(first)
    shutil.move(first / "ranks", later / "ranks")
    shutil.rmtree(first)
    found = taken(later, **record)
    assert found["sasrec"]["against"] == at_once
    assert found["ours"] == record["ours"]


def test_kept_ranks_are_those_of_the_runs_without_users_and_targets(tmp_path: Path) -> None:
    runs = [a_run(seed=seed, ranks={"toys": tmp_path / f"{seed}.parquet"}) for seed in (2, 7)]
    tables = [
        pl.DataFrame(
            {
                "user_id": [5, 3, 9],
                "target_id": [11, 12, 13],
                "rank": ranks,
                "num_equal": ties,
            }
        )
        for ranks, ties in (([1.0, 70_000.0, 2.5], [0, 0, 3]), ([4.0, 1.5, 9.0], [2, 1, 0]))
    ]
    for run, table in zip(runs, tables, strict=True):
        table.write_parquet(run.ranks["toys"])
    keep_ranks(tmp_path / "kept" / "row.parquet", Group(tuple(runs), ()))
    kept = read_kept(tmp_path / "kept" / "row.parquet")
    assert kept is not None
    assert kept.learns
    for found, table in zip(kept.seeds, tables, strict=True):
        known = table.sort("user_id").select("rank", "num_equal")
        assert found.select("rank", "num_equal").equals(known)
        assert found["user_id"].to_list() == [0, 1, 2]
    other = tables[0].with_columns(target_id=pl.Series([11, 12, 14]))
    other.write_parquet(runs[0].ranks["toys"])
    keep_ranks(tmp_path / "other.parquet", Group((runs[0],), ()))
    apart = read_kept(tmp_path / "other.parquet")
    assert apart is not None
    with pytest.raises(ValueError, match="other users or targets"):
        differences(kept, apart, ["ndcg@10"])
    assert read_kept(tmp_path / "none.parquet") is None


def test_new_items_come_from_what_their_benchmark_wrote(tmp_path: Path) -> None:
    way = {"label": "inductive", "new_items": ["toys", "missrec inductive"]}
    tables = {"rows": {"way": way}, "tables": {}}
    for part, value in (("val", 0.25), ("test", 0.5)):
        report = {f"missrec inductive  s{seed}": {"new ndcg@10": seed * value} for seed in (1, 2)}
        path = tmp_path / f"new_items_toys_{part}.json"
        path.write_text(json.dumps({"popularity": {"new ndcg@10": 0.0}, **report}))
    for before in ({}, {"way": BEFORE}):
        files = sorted(tmp_path.iterdir())
        found = take_new_items(Results(tables, before, PAPER), before, files)
        assert found == {
            "way": {
                "seeds": [1, 2],
                "metrics": {"test/new/ndcg@10": [0.5, 1.0], "val/new/ndcg@10": [0.25, 0.5]},
            }
        }


def test_a_table_without_figures_says_so() -> None:
    assert toys().table("ours") == "not measured yet"
