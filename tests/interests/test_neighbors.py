from __future__ import annotations

import pytest
import torch
from torch import Tensor

from missrec.interests import neighbors
from missrec.interests.clustering import DPCKNN
from missrec.interests.neighbors import (
    ExactNeighbors,
    FaissNeighbors,
    NeighborSearch,
    default_block_bytes,
    row_blocks,
)

ALL_CELLS = 10_000


def scattered(num_tokens: int = 300, width: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num_tokens, width, generator=generator)


def found_by(
    search: NeighborSearch, tokens: Tensor, *, count: int, block_bytes: int = 1 << 20
) -> tuple[Tensor, Tensor]:
    """(T, count) squared distances and tokens, nearest first."""
    rows = range(len(tokens))
    parts = list(search(tokens, rows=rows, count=count, block_bytes=block_bytes))
    assert [part.rows.start for part in parts[1:]] == [part.rows.stop for part in parts[:-1]]
    squared = torch.cat([part.squared for part in parts])
    indices = torch.cat([part.indices for part in parts])
    squared, order = squared.sort(dim=1)
    return squared, indices.gather(1, order)


@pytest.mark.parametrize("search", [ExactNeighbors(), FaissNeighbors(num_probes=ALL_CELLS)])
@pytest.mark.parametrize("block_bytes", [1, 7 * 300 * 4, 1 << 20])
def test_the_nearest_others_are_those_of_all_pairs(
    search: NeighborSearch, block_bytes: int
) -> None:
    tokens = scattered()
    distances = torch.cdist(tokens, tokens, compute_mode="donot_use_mm_for_euclid_dist")
    expected = distances.fill_diagonal_(torch.inf).square().sort(dim=1)
    squared, indices = found_by(search, tokens, count=5, block_bytes=block_bytes)
    torch.testing.assert_close(squared, expected.values[:, :5], rtol=1e-4, atol=1e-4)
    assert torch.equal(indices, expected.indices[:, :5])


@pytest.mark.parametrize("search", [ExactNeighbors(), FaissNeighbors(num_probes=ALL_CELLS)])
def test_no_token_is_its_own_neighbour_even_among_duplicates(search: NeighborSearch) -> None:
    tokens = scattered(6).repeat_interleave(20, dim=0)
    squared, indices = found_by(search, tokens, count=19)
    assert not (indices == torch.arange(120)[:, None]).any()
    assert torch.equal(indices // 20, (torch.arange(120) // 20)[:, None].expand(-1, 19))
    torch.testing.assert_close(squared, torch.zeros_like(squared), rtol=0, atol=1e-4)


def test_few_cells_miss_few_neighbours_of_clustered_tokens() -> None:
    tokens = scattered(40).repeat(50, 1) + 0.1 * scattered(2000)
    _, exact = found_by(ExactNeighbors(), tokens, count=5)
    _, found = found_by(FaissNeighbors(num_probes=8), tokens, count=5)
    recall = (exact[:, :, None] == found[:, None]).any(dim=2).double().mean()
    assert 0.95 <= recall <= 1


def test_the_approximate_search_finds_the_same_twice() -> None:
    first = found_by(FaissNeighbors(num_probes=2), scattered(500), count=5)
    second = found_by(FaissNeighbors(num_probes=2), scattered(500), count=5)
    assert all(map(torch.equal, first, second))


def test_clusters_of_exhaustive_approximate_neighbours_are_the_exact_ones() -> None:
    tokens = scattered()
    settings = {
        "num_neighbors": 5,
        "include_self": False,
        "scale_distances": False,
        "break_ties": True,
        "mean_prototypes": True,
    }
    exact, found = (
        DPCKNN(**settings, search=search, block_bytes=None)(tokens, num_clusters=40)
        for search in (ExactNeighbors(), FaissNeighbors(num_probes=ALL_CELLS))
    )
    torch.testing.assert_close(found.prototypes, exact.prototypes)
    assert torch.equal(found.assignment, exact.assignment)


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_token_whose_cells_hold_too_few_others_is_searched_exactly(
    block_bytes: int, dtype: torch.dtype
) -> None:
    tokens = scattered().to(dtype)
    _, exact = found_by(ExactNeighbors(), tokens, count=200)
    _, found = found_by(
        FaissNeighbors(num_probes=1), tokens, count=200, block_bytes=block_bytes
    )  # none of the 69 cells holds 200
    assert torch.equal(found, exact)


def test_probes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_probes \(0\) must be at least 1"):
        FaissNeighbors(num_probes=0)


def test_blocks_cover_the_rows_once_and_hold_at_least_one() -> None:
    found = [range(10)[rows] for rows in row_blocks(range(10), row_bytes=8, block_bytes=31)]
    assert [len(rows) for rows in found] == [3, 3, 3, 1]
    assert [row for rows in found for row in rows] == list(range(10))
    assert len(list(row_blocks(range(3), row_bytes=8, block_bytes=1))) == 3
    assert list(row_blocks(range(0), row_bytes=8, block_bytes=1)) == []


def test_a_block_takes_a_share_of_a_gpus_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_block_bytes(torch.device("cpu")) == 128 << 20
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (16 << 30, 80 << 30))
    assert default_block_bytes(torch.device("cuda")) == 2 << 30


@pytest.mark.parametrize("count", [1, 5, 16])
@pytest.mark.parametrize("num_columns", [64, 1024, 6400])
def test_the_smallest_of_a_row_are_those_of_one_selection(num_columns: int, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 500, (7, num_columns), generator=generator).float()  # many ties
    values[3] = torch.arange(num_columns).float()  # all in one chunk
    found, places = neighbors._smallest(values, count=count)
    torch.testing.assert_close(found.sort(dim=1).values, values.sort(dim=1).values[:, :count])
    assert values.gather(1, places).equal(found)
    assert all(len(set(row)) == count for row in places.tolist())


@pytest.mark.parametrize("search", [ExactNeighbors(), FaissNeighbors(num_probes=200)])
def test_neighbours_are_found_far_from_the_origin_too(search: NeighborSearch) -> None:
    tokens = scattered(2000)
    squared, near = found_by(search, tokens, count=5)
    far_squared, far = found_by(search, tokens + 1000, count=5)
    assert (near[:, :, None] == far[:, None]).any(dim=2).double().mean() > 0.99
    torch.testing.assert_close(far_squared.sort().values, squared.sort().values, rtol=1e-2, atol=0)
