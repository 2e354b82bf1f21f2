from __future__ import annotations

import polars as pl
import pytest
import torch

from missrec.report.popularity import recall_by_popularity


def ranks(*values: float) -> pl.DataFrame:
    """Half a rank is a tie with one item."""
    targets = [1, 2, 2, 3][: len(values)]
    ties = [int(2 * (value % 1)) for value in values]
    columns = {"user_id": range(len(values)), "target_id": targets, "num_equal": ties}
    return pl.DataFrame({**columns, "rank": [float(value) for value in values]})


COUNTS = torch.tensor([0, 0, 4, 9])  # item 1 is cold, 2 and 3 are in the buckets 1-4 and 5+


def test_recall_is_the_mean_over_seeds_and_improvement_is_relative_to_the_other_system() -> None:
    found = recall_by_popularity(
        {"ours": [ranks(1, 1, 99, 9.5), ranks(99, 1, 1, 9.5)], "base": [ranks(99, 1, 99, 10)]},
        COUNTS,
        edges=[1, 5],
        reference="ours",
    )
    assert found.buckets == ("0 (cold)", "1-4", "5+")
    assert found.num_users == (1, 2, 1)
    assert found.recall == {"ours": (0.5, 0.75, 1.0), "base": (0.0, 0.5, 1.0)}
    # .75 / .5 - 1; nothing is known where the baseline finds nothing
    assert found.improvements == {"base": (None, pytest.approx(0.5), 0.0)}


def test_a_tied_target_counts_as_often_as_it_comes_first() -> None:
    systems = {"ours": [ranks(1, 1, 1, 10.5)], "base": [ranks(1, 1, 1, 10)]}
    found = recall_by_popularity(systems, COUNTS, edges=[1, 5], reference="ours")
    assert found.recall["ours"] == (1, 1, 0.5)  # tenth or eleventh


def test_a_bucket_without_users_has_no_recall() -> None:
    systems = {name: [ranks(1)] for name in ("ours", "base")}
    found = recall_by_popularity(systems, COUNTS, edges=[1, 5], reference="ours")
    assert found.num_users == (1, 0, 0)
    assert found.recall["ours"] == (1.0, None, None)
    assert found.improvements["base"] == (0.0, None, None)
