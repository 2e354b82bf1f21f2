from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from missrec.metrics.paired import (
    Compared,
    compare_ranks,
    knows_ties,
    read_paired,
    read_ranks,
    user_metric,
)
from run_folders import write_ranks


def compared(*systems: list[pl.DataFrame], metrics: list[str]) -> dict[str, Compared]:
    return compare_ranks(*systems, metrics=metrics, fixed=(False, False), num_resamples=99, seed=0)


def test_each_seed_has_its_mean_and_the_difference_is_that_of_the_means(tmp_path: Path) -> None:
    ours = [write_ranks(tmp_path / f"{s}", r) for s, r in enumerate(([1.0, 20.0], [20.0, 20.0]))]
    tables = read_paired([*ours, write_ranks(tmp_path / "b", [20.0, 3.0])])
    both = compared(tables[:2], tables[2:], metrics=["ndcg@10", "recall@10"])
    found = both["ndcg@10"]
    assert found.ours == (0.5, 0.0)
    assert found.theirs == pytest.approx((1 / math.log2(4) / 2,))
    assert found.difference.mean == pytest.approx((0.5 - 1 / math.log2(4)) / 2)
    assert both["recall@10"].theirs == (0.5,)


def with_ties(path: Path, ranks: list[float], ties: list[int | None]) -> Path:
    write_ranks(path, ranks)
    pl.read_parquet(path).with_columns(num_equal=pl.Series(ties)).write_parquet(path)
    return path


def test_recorded_ties_count_in_expectation(tmp_path: Path) -> None:
    path = with_ties(tmp_path / "a", [2.0, 10.5], [2, 1])  # places 1 to 3, and 10 and 11
    assert user_metric(read_ranks(path), "mrr@10").tolist() == pytest.approx(
        [(1 + 1 / 2 + 1 / 3) / 3, 1 / 10 / 2], abs=1e-15
    )
    assert user_metric(read_ranks(path), "recall@10").tolist() == [1, 0.5]
    assert knows_ties(path)


def test_of_a_file_without_ties_the_expected_rank_is_taken(tmp_path: Path) -> None:
    path = write_ranks(tmp_path / "a", [2.0, 10.5], ties=False)
    assert user_metric(read_ranks(path), "mrr@10").tolist() == [1 / 2, 0]
    assert not knows_ties(path)


@pytest.mark.parametrize(
    ("ranks", "ties"), [([1.5], [0]), ([2.0], [1]), ([1.0], [2]), ([3.0], [-2]), ([1.0], [None])]
)
def test_ties_that_do_not_fit_the_ranks_are_refused(
    tmp_path: Path, ranks: list[float], ties: list[int | None]
) -> None:
    with pytest.raises(ValueError, match="a holds ranks that do not fit the ties"):
        read_ranks(with_ties(tmp_path / "a", ranks, ties))


def test_users_come_in_their_order_whatever_the_order_in_the_file(tmp_path: Path) -> None:
    path = write_ranks(tmp_path / "a", [1.0, 20.0, 5.0])
    pl.read_parquet(path).reverse().write_parquet(path)
    assert user_metric(read_ranks(path), "recall@10").tolist() == [1.0, 0.0, 1.0]


def test_other_users_or_targets_cannot_be_paired(tmp_path: Path) -> None:
    path = write_ranks(tmp_path / "a", [1.0, 2.0])
    others = write_ranks(tmp_path / "b", [1.0, 2.0], first_user=1)
    with pytest.raises(ValueError, match=r"b did not rank the users and targets of .*a"):
        read_paired([path, others])
    targets = tmp_path / "c"
    pl.read_parquet(path).with_columns(target_id=pl.lit(3)).write_parquet(targets)
    with pytest.raises(ValueError, match="did not rank the users and targets"):
        read_paired([path, targets])


@pytest.mark.parametrize("ranks", [[0.5, 1.0], [1.0, None], [1.0, float("nan")], []])
def test_what_is_no_rank_is_refused(tmp_path: Path, ranks: list[float]) -> None:
    with pytest.raises(ValueError, match="must hold ranks"):
        read_ranks(write_ranks(tmp_path / "a", ranks))


def test_a_damaged_file_and_a_missing_column_and_file_are_named(tmp_path: Path) -> None:
    path = write_ranks(tmp_path / "a", [1.0] * 100)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="a is no whole table of ranks"):
        read_ranks(path)
    pl.DataFrame({"user_id": [1]}).write_parquet(path)
    with pytest.raises(ValueError, match="a is no whole table of ranks"):
        read_ranks(path)
    with pytest.raises(FileNotFoundError, match="b is missing"):
        read_ranks(tmp_path / "b")
