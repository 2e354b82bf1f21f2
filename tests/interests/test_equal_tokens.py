"""Equal tokens are equally dense and one of them stands for all, whatever rounds in a search."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from missrec.interests import dpc_knn
from missrec.interests.dpc_knn import DensityPeaks, density_peaks, first_equal
from missrec.interests.neighbors import ExactNeighbors, FaissNeighbors, NeighborSearch

SEARCHES = [ExactNeighbors(), FaissNeighbors(num_probes=2)]


def copies(*, distinct: int, total: int, width: int, seed: int) -> Tensor:
    """(total, width) tokens of so many different ones, in any order, far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(distinct, (total,), generator=generator)
    return torch.randn(distinct, width, generator=generator)[places] + 3


def naive_first_equal(tokens: Tensor) -> list[int]:
    rows = tokens.tolist()
    return [rows.index(row) for row in rows]


def clusters(
    tokens: Tensor, *, num_neighbors: int, break_ties: bool, search: NeighborSearch, rows: int
) -> DensityPeaks:
    return density_peaks(
        tokens,
        num_neighbors=num_neighbors,
        include_self=False,
        break_ties=break_ties,
        num_peaks=len(tokens),
        search=search,
        block_bytes=rows * len(tokens) * tokens.element_size(),
    )


@pytest.mark.parametrize("search", SEARCHES)
@given(
    distinct=st.integers(1, 40),
    copied=st.integers(2, 60),
    width=st.sampled_from([1, 5, 24, 33]),
    neighbors=st.integers(1, 90),
    rows=st.integers(1, 100),
    break_ties=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equal_tokens_have_one_density_one_separation_and_one_peak(
    search: NeighborSearch,
    *,
    distinct: int,
    copied: int,
    width: int,
    neighbors: int,
    rows: int,
    break_ties: bool,
    seed: int,
) -> None:
    tokens = copies(distinct=distinct, total=distinct + copied, width=width, seed=seed)
    found = clusters(
        tokens,
        num_neighbors=min(neighbors, len(tokens) - 1),
        break_ties=break_ties,
        search=search,
        rows=rows,
    )
    first = torch.tensor(naive_first_equal(tokens))
    assert found.log_density.equal(found.log_density[first])
    is_first = first == torch.arange(len(tokens))
    if break_ties:
        assert found.separation[~is_first].eq(0).all()
        if is_first.sum() > 1:
            assert found.separation[is_first].gt(0).all()
        # Each token belongs to the first that equals it, as every token is a peak.
        assert found.peaks[found.assignment].equal(first)
    else:
        assert found.separation.equal(found.separation[first])


@pytest.mark.parametrize("search", SEARCHES)
def test_with_few_peaks_equal_tokens_belong_to_one(search: NeighborSearch) -> None:
    tokens = copies(distinct=50, total=400, width=24, seed=0)
    first = torch.tensor(naive_first_equal(tokens))
    found = density_peaks(
        tokens,
        num_neighbors=30,
        include_self=False,
        break_ties=True,
        num_peaks=12,
        search=search,
        block_bytes=7 * 400 * 4,
    )
    assert found.peaks.equal(first[found.peaks])
    assert found.assignment.equal(found.assignment[first])


def test_without_that_rule_rounding_chooses_another_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = copies(distinct=60, total=600, width=24, seed=0)
    first = torch.tensor(naive_first_equal(tokens))
    settings = {"num_neighbors": 30, "break_ties": True, "search": ExactNeighbors(), "rows": 37}
    monkeypatch.setattr(dpc_knn, "first_equal", lambda tokens: torch.arange(len(tokens)))
    found = clusters(tokens, **settings)
    assert not found.log_density.equal(found.log_density[first])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_first_equal_token_is_found_number_by_number(dtype: torch.dtype) -> None:
    tokens = torch.tensor(
        [[1, 2, 0.0], [2, 1, 0.0], [1, 2, -0.0], [1, 1, 1], [2, 1, 0.0], [1, 2, 0.0]], dtype=dtype
    )  # the sum of the first two is the same, bit by bit
    assert first_equal(tokens).tolist() == naive_first_equal(tokens) == [0, 1, 0, 3, 1, 0]
    assert first_equal(tokens[:, :1].T).tolist() == [0]


@given(seed=st.integers(0, 1000), total=st.integers(1, 60), width=st.integers(1, 3))
def test_the_first_equal_token_is_that_of_a_loop(seed: int, total: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(-2, 3, (total, width), generator=generator) / 4
    assert first_equal(tokens).tolist() == naive_first_equal(tokens)
