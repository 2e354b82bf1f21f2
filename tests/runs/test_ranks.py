from __future__ import annotations

from pathlib import Path

import pytest

from missrec.runs.ranks import recorded_ranks, with_ties_in_expectation
from run_folders import write_ranks

EXPECTED_RANK = {"epochs": 3.0, "val/recall@10": 0.4, "test/recall@10": 0.5, "test/tie_rate": 0.5}


def test_figures_of_the_expected_rank_are_made_anew_from_recorded_ties(tmp_path: Path) -> None:
    write_ranks(tmp_path / "test_ranks_toys.parquet", [1.0, 10.5])  # 10.5: tenth or eleventh
    found = with_ties_in_expectation(EXPECTED_RANK, recorded_ranks(tmp_path))
    assert found == {**EXPECTED_RANK, "test/recall@10": 0.75}


def test_of_several_domains_each_and_their_mean_are_made_anew(tmp_path: Path) -> None:
    write_ranks(tmp_path / "test_ranks_toys.parquet", [1.0, 10.5])
    write_ranks(tmp_path / "test_ranks_games.parquet", [10.5, 30.0])
    figures = {**EXPECTED_RANK, "test/toys/recall@10": 0.5, "test/games/recall@10": 0.0}
    found = with_ties_in_expectation(figures, recorded_ranks(tmp_path))
    assert (found["test/toys/recall@10"], found["test/games/recall@10"]) == (0.75, 0.25)
    assert found["test/recall@10"] == 0.5
    assert found["val/recall@10"] == 0.4


def test_without_ties_or_ranks_figures_stay(tmp_path: Path) -> None:
    untied = {**EXPECTED_RANK, "test/tie_rate": 0.0}
    write_ranks(tmp_path / "test_ranks_toys.parquet", [1.0, 1.0])
    assert with_ties_in_expectation(untied, recorded_ranks(tmp_path)) == untied
    assert with_ties_in_expectation(EXPECTED_RANK, {}) == EXPECTED_RANK


def test_damaged_ranks_that_are_needed_are_refused(tmp_path: Path) -> None:
    (tmp_path / "test_ranks_toys.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="no whole table of ranks"):
        with_ties_in_expectation(EXPECTED_RANK, recorded_ranks(tmp_path))
