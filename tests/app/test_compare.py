"""Comparing the ranks that runs recorded; no training needed."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.app.compare import compare
from missrec.app.evaluate import EvaluateSettings
from missrec.app.settings import LISTS_BEFORE
from missrec.runs.identity import ChangedDataError
from run_folders import ROOT, an_identity, record_run, run_config, write_ranks

SYSTEMS = {"a": "model=sasrec", "b": "model=most_popular"}
OTHER = an_identity("office", interactions="others")


def record(
    run_dir: Path,
    ranks: list[float],
    *,
    domains: Sequence[str] = ("office",),
    first_user: int = 0,
    seed: int = 1,
    data: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A run of the system that the first letter of its folder names."""
    config = run_config("logger=csv", SYSTEMS[run_dir.name[0]], seed=seed, **changes)
    config["data"]["folders"] = [f"/data/{domains[0]}"]
    record_run(run_dir, config, ranks, data=data)
    for domain in domains:
        write_ranks(run_dir / f"test_ranks_{domain}.parquet", ranks, first_user=first_user)
    return run_dir


def config(tmp_path: Path, **changes: Any) -> EvaluateSettings:
    settings = EvaluateSettings(
        run=f"{tmp_path}/a_s*",
        against=f"{tmp_path}/b",
        data_dir=tmp_path,
        accelerator="cpu",
        shown=[],
        bucket_edges=[],
        lists=LISTS_BEFORE,
        metrics=["recall@10", "ndcg@10"],
        num_resamples=199,
        seed=0,
        output_dir=tmp_path,
        root_dir=ROOT,
        accepts_changed_data=False,
        trust=False,
        new_items=None,
    )
    return settings._replace(**changes)


def test_seeds_are_averaged_by_user_and_the_difference_is_in_users(tmp_path: Path) -> None:
    record(tmp_path / "a_s1", [1.0, 1.0, 30.0, 30.0])
    record(tmp_path / "a_s2", [1.0, 30.0, 30.0, 30.0], seed=2)
    record(tmp_path / "b", [30.0, 30.0, 30.0, 3.0])
    report = compare(config(tmp_path))
    assert json.loads((tmp_path / "comparison.json").read_text()) == report
    recall = report["domains"]["office"]["recall@10"]
    assert recall["run"] == [0.5, 0.25]
    assert recall["against"] == [0.25]
    assert recall["difference"] == pytest.approx(0.125)
    assert recall["users"] == pytest.approx(0.5)
    ndcg = report["domains"]["office"]["ndcg@10"]
    assert ndcg["difference"] == pytest.approx((1 + 0.5 - 1 / math.log2(4)) / 4)


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    record(tmp_path / "a_s1", [1.0, 30.0])
    record(tmp_path / "b", [1.0, 30.0])
    path = tmp_path / "b" / "test_ranks_office.parquet"
    pl.read_parquet(path).reverse().write_parquet(path)
    figures = compare(config(tmp_path))["domains"]["office"]["recall@10"]
    assert figures["interval_95"] == [0.0, 0.0]


def test_one_seed_has_no_p_value_and_several_have_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "a_s1", [1.0, 30.0, 4.0])
    record(tmp_path / "b", [1.0, 30.0, 30.0])
    figures = compare(config(tmp_path))["domains"]["office"]["recall@10"]
    assert (figures["p_value"], figures["detectable"]) == (None, None)
    assert figures["interval_over"] == "users"
    assert "over users alone" in " ".join(capsys.readouterr().out.split())
    record(tmp_path / "a_s2", [1.0, 30.0, 30.0], seed=2)
    record(tmp_path / "b2" / "b_s2", [30.0, 30.0, 30.0], seed=2)
    both = config(tmp_path, against=[f"{tmp_path}/b", f"{tmp_path}/b2/b_s2"])
    figures = compare(both)["domains"]["office"]["recall@10"]
    assert 0 < figures["p_value"] <= 1
    assert figures["detectable"] > 0
    assert figures["interval_over"] == "seeds and users"
    shown = " ".join(capsys.readouterr().out.split())
    assert "over seeds and users" in shown
    assert "Only 3 users" in shown


def test_what_learns_nothing_needs_no_second_seed(tmp_path: Path) -> None:
    for name in ("a_s1", "b"):
        metrics = record(tmp_path / name, [1.0, 30.0, 4.0]) / "metrics.json"
        content = json.loads(metrics.read_text())
        metrics.write_text(json.dumps({k: v for k, v in content.items() if k != "epochs"}))
    assert compare(config(tmp_path))["domains"]["office"]["recall@10"]["p_value"] == 1.0


def test_ties_that_are_not_known_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record(tmp_path / "b", [1.0, 2.0])
    write_ranks(
        record(tmp_path / "a_s1", [1.0, 2.5]) / "test_ranks_office.parquet", [1.0, 2.5], ties=False
    )
    compare(config(tmp_path))
    assert "a_s1/test_ranks_office.parquet does not know its ties, as 1 of 2 files" in caplog.text


def test_each_domain_is_compared(tmp_path: Path) -> None:
    for run in ("a_s1", "b"):
        record(tmp_path / run, [1.0, 2.0], domains=("office", "music"))
    assert set(compare(config(tmp_path))["domains"]) == {"office", "music"}


def test_runs_on_other_users_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "a_s1", [1.0, 2.0])
    record(tmp_path / "b", [1.0, 2.0], first_user=1)
    with pytest.raises(ValueError, match="did not rank the users and targets"):
        compare(config(tmp_path))


def test_runs_on_other_domains_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "a_s1", [1.0])
    record(tmp_path / "b", [1.0], domains=("music",))
    with pytest.raises(FileNotFoundError, match="only runs on the same domains"):
        compare(config(tmp_path))


@pytest.mark.parametrize("metric", ["recall", "recall@ten", "speed@10"])
def test_an_unknown_metric_is_refused(tmp_path: Path, metric: str) -> None:
    record(tmp_path / "a_s1", [1.0])
    record(tmp_path / "b", [1.0])
    with pytest.raises(ValueError, match="is not recall@k, ndcg@k or mrr@k"):
        compare(config(tmp_path, metrics=[metric]))


def test_copies_of_a_seed_are_one_seed_and_the_newest_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = record(tmp_path / "a_s1", [30.0, 30.0])
    os.utime(old / "metrics.json", (1, 1))
    record(tmp_path / "a_s1_again", [1.0, 30.0])
    shutil.copytree(old, tmp_path / "a_s1_copy")
    record(tmp_path / "a_s2", [1.0, 1.0], seed=2)
    record(tmp_path / "b", [30.0, 30.0])
    with caplog.at_level(logging.WARNING):
        found = compare(config(tmp_path))
    assert found["domains"]["office"]["recall@10"]["run"] == [0.5, 1.0]
    assert [Path(folder).name for folder in found["run"]] == ["a_s1_again", "a_s2"]
    assert {Path(folder).name for folder in found["left_out"]} == {"a_s1", "a_s1_copy"}
    assert caplog.text.count("is left out: a newer run of seed 1 counts") == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer__lr": 0.5}, r"differ in optimizer.lr \(0.5, 0.001\); name the runs of one$"),
        ({"data": OTHER}, "differ in office: interactions; name the runs of one$"),
    ],
)
def test_a_side_of_several_systems_is_refused_by_what_they_differ_in(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    record(tmp_path / "a_s1", [1.0], **{"data": an_identity("office"), **changes})
    record(tmp_path / "a_s2", [1.0], seed=2, data=an_identity("office"))
    record(tmp_path / "b", [1.0])
    with pytest.raises(ValueError, match=f"names 2 systems, which {said}"):
        compare(config(tmp_path))
    with pytest.raises(ValueError, match=r"model \(sasrec, most_popular\)"):
        compare(config(tmp_path, run=[f"{tmp_path}/a_s2", f"{tmp_path}/b"]))


def test_sides_on_other_data_are_refused_or_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path / "a_s1", [1.0], data=an_identity("office"))
    record(tmp_path / "b", [1.0], data=OTHER)
    with pytest.raises(ChangedDataError, match="b was made on other data: office: interactions; "):
        compare(config(tmp_path))
    found = compare(config(tmp_path, accepts_changed_data=True))
    assert found["accepted_changes"] == ["office: interactions"]
    shutil.rmtree(tmp_path / "b")
    record(tmp_path / "b", [1.0])
    with caplog.at_level(logging.WARNING):
        assert compare(config(tmp_path))["accepted_changes"] == []
    assert "b does not know what data it was made on" in caplog.text


def test_a_run_that_cannot_be_compared_says_why(tmp_path: Path) -> None:
    record(tmp_path / "b", [1.0])
    (record(tmp_path / "a_s1", [1.0]) / "metrics.json").unlink()
    with pytest.raises(ValueError, match=r"a_s1 cannot be compared: no metrics.json; python src"):
        compare(config(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty names no folder of a run"):
        compare(config(tmp_path, run=f"{tmp_path}/empty"))
