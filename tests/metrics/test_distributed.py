from __future__ import annotations

import json
from typing import Any

import pytest
from torch import multiprocessing

from ranking_worker import CASES, rank_users, run


@pytest.fixture(scope="module")
def found_by_rank(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found, by case; started once, for starting them takes long."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(run, args=(str(folder),), nprocs=2)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_each_of_two_processes_finds_what_one_finds(
    found_by_rank: list[dict[str, Any]], case: str
) -> None:
    alone = rank_users([list(range(10))])
    assert alone["users"] == list(range(10))
    assert [found[case] for found in found_by_rank] == [alone, alone]
