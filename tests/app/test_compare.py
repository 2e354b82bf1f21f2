"""Comparing the ranks that runs recorded; no training needed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.app.compare import compare
from missrec.app.evaluate import EvaluateSettings


def record(
    run_dir: Path, ranks: list[float], *, domain: str = "office", first_user: int = 0
) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    users = range(first_user, first_user + len(ranks))
    pl.DataFrame({"user_id": users, "target_id": [7] * len(ranks), "rank": ranks}).write_parquet(
        run_dir / f"test_ranks_{domain}.parquet"
    )


def config(tmp_path: Path, **changes: Any) -> EvaluateSettings:
    settings = EvaluateSettings(
        run=f"{tmp_path}/a_s*",
        against=f"{tmp_path}/b",
        data_dir=tmp_path,
        accelerator="cpu",
        shown=[],
        bucket_edges=[],
        metrics=["recall@10", "ndcg@10"],
        num_resamples=199,
        seed=0,
        output_dir=tmp_path,
    )
    return settings._replace(**changes)


def test_seeds_are_averaged_by_user_and_the_difference_is_in_users(tmp_path: Path) -> None:
    record(tmp_path / "a_s1", [1.0, 1.0, 30.0, 30.0])
    record(tmp_path / "a_s2", [1.0, 30.0, 30.0, 30.0])
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
    assert figures["p_value"] == 1.0


def test_each_domain_is_compared(tmp_path: Path) -> None:
    for domain in ("office", "music"):
        for run in ("a_s1", "b"):
            record(tmp_path / run, [1.0, 2.0], domain=domain)
    assert set(compare(config(tmp_path))["domains"]) == {"office", "music"}


def test_runs_on_other_users_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "a_s1", [1.0, 2.0])
    record(tmp_path / "b", [1.0, 2.0], first_user=1)
    with pytest.raises(ValueError, match="did not rank the users and targets"):
        compare(config(tmp_path))


def test_runs_on_other_domains_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "a_s1", [1.0])
    record(tmp_path / "b", [1.0], domain="music")
    with pytest.raises(FileNotFoundError, match="only runs on the same domains"):
        compare(config(tmp_path))


@pytest.mark.parametrize("metric", ["recall", "recall@ten", "speed@10"])
def test_an_unknown_metric_is_refused(tmp_path: Path, metric: str) -> None:
    record(tmp_path / "a_s1", [1.0])
    record(tmp_path / "b", [1.0])
    with pytest.raises(ValueError, match="is not recall@k, ndcg@k or mrr@k"):
        compare(config(tmp_path, metrics=[metric]))
