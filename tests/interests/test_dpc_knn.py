from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from missrec.interests.dpc_knn import DensityPeaks, density_peaks
from missrec.interests.neighbors import ExactNeighbors

NUM_TOKENS = 60


def three_clusters(*, dtype: torch.dtype = torch.float64) -> Tensor:
    """(60, 3) tokens around three centres, more of each than the neighbours that are kept."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(NUM_TOKENS, 3, generator=generator, dtype=torch.float64)
    centers = 2.0 * torch.eye(3, dtype=torch.float64)
    return (centers[torch.arange(NUM_TOKENS) % 3] + 0.4 * noise).to(dtype)


def on_a_grid() -> Tensor:
    """(64, 2) tokens with many ties and duplicates, whose distances have no rounding."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 8, (64, 2), generator=generator).double()


def cluster(
    tokens: Tensor,
    *,
    num_neighbors: int = 5,
    include_self: bool = False,
    break_ties: bool = True,
    num_peaks: int = 3,
    block_rows: int = 1000,
) -> DensityPeaks:
    return density_peaks(
        tokens,
        num_neighbors=num_neighbors,
        include_self=include_self,
        break_ties=break_ties,
        num_peaks=num_peaks,
        search=ExactNeighbors(),
        block_bytes=block_rows * len(tokens) * tokens.element_size(),
    )


def naive_squared(tokens: Tensor) -> list[list[float]]:
    """Squared distances, pair by pair."""
    rows = tokens.tolist()
    return [
        [sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) for other in rows]
        for one in rows
    ]


def naive_density(
    squared: list[list[float]], *, num_neighbors: int, include_self: bool = False
) -> list[float]:
    """Eq. 3, token by token."""
    density = []
    for i, row in enumerate(squared):
        others = sorted(row[:i] + row[i + 1 :])
        nearest = ([row[i], *others] if include_self else others)[:num_neighbors]
        density.append(math.exp(-sum(nearest) / num_neighbors))
    return density


def naive_separation(
    squared: list[list[float]], density: list[float], *, break_ties: bool = True
) -> list[float]:
    """Eq. 4, token by token; of equal densities the lower index is the denser, or neither."""
    separation = []
    for i, row in enumerate(squared):
        denser = [
            j
            for j in range(len(row))
            if density[j] > density[i] or (break_ties and density[j] == density[i] and j < i)
        ]
        separation.append(math.sqrt(min((row[j] for j in denser), default=max(row))))
    return separation


@pytest.mark.parametrize("block_rows", [1, 7, 60])
@pytest.mark.parametrize("num_neighbors", [2, 5, 17, NUM_TOKENS - 1])
def test_density_and_separation_are_equations_3_and_4(num_neighbors: int, block_rows: int) -> None:
    tokens = three_clusters()
    squared = naive_squared(tokens)
    density = naive_density(squared, num_neighbors=num_neighbors)
    found = cluster(tokens, num_neighbors=num_neighbors, block_rows=block_rows)
    torch.testing.assert_close(found.log_density.exp().tolist(), density)
    torch.testing.assert_close(found.separation.tolist(), naive_separation(squared, density))


@pytest.mark.parametrize("block_rows", [1, 7, 64])
@pytest.mark.parametrize("num_neighbors", [1, 4, 32, 63])
def test_equations_3_and_4_hold_with_ties(num_neighbors: int, block_rows: int) -> None:
    tokens = on_a_grid()
    squared = naive_squared(tokens)
    density = naive_density(squared, num_neighbors=num_neighbors)
    found = cluster(tokens, num_neighbors=num_neighbors, block_rows=block_rows)
    torch.testing.assert_close(found.log_density.exp().tolist(), density)
    torch.testing.assert_close(found.separation.tolist(), naive_separation(squared, density))


@pytest.mark.parametrize("block_rows", [1, 7, 64])
@pytest.mark.parametrize("num_neighbors", [1, 4, 32, 63])
def test_without_breaking_ties_no_token_is_denser_than_its_equals(
    num_neighbors: int, block_rows: int
) -> None:
    tokens = on_a_grid()
    squared = naive_squared(tokens)
    density = naive_density(squared, num_neighbors=num_neighbors)
    assert len(set(density)) < len(tokens)
    found = cluster(tokens, num_neighbors=num_neighbors, break_ties=False, block_rows=block_rows)
    separation = naive_separation(squared, density, break_ties=False)
    torch.testing.assert_close(found.log_density.exp().tolist(), density)
    torch.testing.assert_close(found.separation.tolist(), separation)
    assert separation != naive_separation(squared, density)


@pytest.mark.parametrize("break_ties", [True, False])
@pytest.mark.parametrize("num_neighbors", [1, 2, 17, 40, 64])
def test_a_token_can_be_the_first_of_its_own_neighbors(
    num_neighbors: int, *, break_ties: bool
) -> None:
    for tokens in (three_clusters(), on_a_grid()):
        k = min(num_neighbors, len(tokens))
        squared = naive_squared(tokens)
        density = naive_density(squared, num_neighbors=k, include_self=True)
        separation = naive_separation(squared, density, break_ties=break_ties)
        for block_rows in (7, 64):
            found = cluster(
                tokens,
                num_neighbors=k,
                include_self=True,
                break_ties=break_ties,
                block_rows=block_rows,
            )
            torch.testing.assert_close(found.log_density.exp().tolist(), density)
            torch.testing.assert_close(found.separation.tolist(), separation)


def test_four_tokens_that_count_themselves_by_hand() -> None:
    tokens = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    # Eq. 3 divides by k = 2, the token itself adds 0.
    found = cluster(tokens, num_neighbors=2, include_self=True, num_peaks=1)
    assert found.log_density.tolist() == [-(1**2) / 2, -(1**2) / 2, -(2**2) / 2, -(7**2) / 2]
    # All four: the squared distances to 0 are 1, 9 and 100.
    found = cluster(tokens, num_neighbors=4, include_self=True, num_peaks=1)
    assert found.log_density[0].item() == -(0 + 1 + 9 + 100) / 4


@pytest.mark.parametrize(
    ("break_ties", "by_hand"),
    # With k = 1 all are equally dense. Each is 10, 9, 7 or 10 from its farthest token; with ties
    # broken only the first is the densest, and the others are next to the nearest before them.
    [(False, [10, 9, 7, 10]), (True, [10, 1, 2, 7])],
)
def test_tokens_that_count_only_themselves_are_equally_dense(
    by_hand: list[float], *, break_ties: bool
) -> None:
    found = cluster(
        torch.tensor([[0.0], [1.0], [3.0], [10.0]]),
        num_neighbors=1,
        include_self=True,
        break_ties=break_ties,
        num_peaks=2,
    )
    assert found.log_density.eq(0).all()
    assert found.separation.tolist() == by_hand
    assert found.peaks.tolist() == [0, 3]


@pytest.mark.parametrize("block_rows", [1, 2, 5])
def test_without_breaking_ties_each_of_the_densest_has_its_farthest_token(
    block_rows: int,
) -> None:
    found = cluster(
        torch.tensor([[0.0], [1.0], [9.0], [4.0], [8.0]]),
        num_neighbors=1,
        break_ties=False,
        num_peaks=2,
        block_rows=block_rows,
    )
    # Nearest neighbours at 1, but of 4 at 3. Farthest of 0, 1, 9 and 8: 9, 8, 9, 8.
    assert found.log_density.tolist() == [-1, -1, -1, -(3**2), -1]
    assert found.separation.tolist() == [9, 8, 9, 3, 8]
    assert found.peaks.tolist() == [0, 2]
    assert found.assignment.tolist() == [0, 0, 1, 0, 1]


@pytest.mark.parametrize("block_rows", [1, 5, 12])
def test_without_breaking_ties_all_duplicates_of_a_center_can_be_peaks(block_rows: int) -> None:
    corner, far = [0.0, 0.0], [3.0, 4.0]
    found = cluster(
        torch.tensor([corner, far] * 6),
        num_neighbors=2,
        break_ties=False,
        num_peaks=3,
        block_rows=block_rows,
    )
    assert found.separation.tolist() == [5] * 12  # sqrt(3^2 + 4^2)
    assert found.peaks.tolist() == [0, 1, 2]


@pytest.mark.parametrize("num_peaks", [1, 3, 20, NUM_TOKENS])
def test_peaks_have_the_highest_density_times_separation(num_peaks: int) -> None:
    tokens = three_clusters()
    squared = naive_squared(tokens)
    density = naive_density(squared, num_neighbors=5)
    separation = naive_separation(squared, density)
    by_score = sorted(range(NUM_TOKENS), key=lambda i: density[i] * separation[i], reverse=True)
    assert cluster(tokens, num_peaks=num_peaks).peaks.tolist() == by_score[:num_peaks]


@pytest.mark.parametrize("num_peaks", [1, 3, 20, NUM_TOKENS])
def test_each_token_belongs_to_its_nearest_peak(num_peaks: int) -> None:
    tokens = three_clusters()
    squared = naive_squared(tokens)
    found = cluster(tokens, num_peaks=num_peaks)
    peaks = found.peaks.tolist()
    nearest = [min(range(num_peaks), key=lambda k: row[peaks[k]]) for row in squared]
    assert found.assignment.tolist() == nearest


@pytest.mark.parametrize("block_rows", [1, 7, 13, 59])
def test_block_size_changes_nothing(block_rows: int) -> None:
    tokens = three_clusters()
    whole = cluster(tokens, num_peaks=20)
    blocks = cluster(tokens, num_peaks=20, block_rows=block_rows)
    torch.testing.assert_close(blocks.log_density, whole.log_density)
    torch.testing.assert_close(blocks.separation, whole.separation)
    assert blocks.peaks.equal(whole.peaks)
    assert blocks.assignment.equal(whole.assignment)


def test_the_centers_of_three_clusters_separate_them() -> None:
    found = cluster(three_clusters())
    cluster_of_peak = found.peaks % 3
    assert sorted(cluster_of_peak.tolist()) == [0, 1, 2]
    truth = torch.arange(NUM_TOKENS) % 3
    agreement = (cluster_of_peak[found.assignment] == truth).double().mean()
    assert agreement >= 0.9, agreement


def test_four_tokens_on_a_line_by_hand() -> None:
    found = cluster(torch.tensor([[0.0], [1.0], [3.0], [10.0]]), num_neighbors=1, num_peaks=2)
    # Nearest neighbours at 1, 1, 2 and 7. Tokens 0 and 1 tie, and the lower index is denser.
    assert found.log_density.tolist() == [-(1**2), -(1**2), -(2**2), -(7**2)]
    # 0 is the densest: its farthest token is 10. The others: |1-0|, |3-1|, |10-3|.
    assert found.separation.tolist() == [10, 1, 2, 7]
    # rho x delta: 10/e, 1/e, 2/e^4, 7/e^49.
    assert found.peaks.tolist() == [0, 1]
    assert found.assignment.tolist() == [0, 1, 1, 1]


def test_with_one_peak_every_token_belongs_to_the_densest() -> None:
    found = cluster(three_clusters(), num_peaks=1)
    assert found.peaks.item() == found.log_density.argmax()
    assert found.assignment.eq(0).all()


def test_of_exact_duplicates_only_the_lowest_index_is_a_peak() -> None:
    corner, far = [0.0, 0.0], [3.0, 4.0]
    found = cluster(
        torch.tensor([corner, far, corner, far, corner, far]), num_neighbors=2, num_peaks=2
    )
    assert found.log_density.tolist() == [0] * 6
    assert found.separation.tolist() == [5, 5, 0, 0, 0, 0]  # sqrt(3^2 + 4^2)
    assert found.peaks.tolist() == [0, 1]
    assert found.assignment.tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("block_rows", [1, 5, 39])
def test_duplicates_with_rounded_distances_share_one_peak(block_rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.arange(39) % 13
    tokens = torch.randn(13, 24, generator=generator)[places]
    found = cluster(tokens, num_peaks=13, block_rows=block_rows)
    assert sorted(places[found.peaks].tolist()) == list(range(13))
    assert int((found.separation > 0).sum()) == 13
    assert found.peaks[found.assignment].remainder(13).equal(places)


def test_a_peak_that_repeats_a_denser_one_attracts_nothing() -> None:
    found = cluster(torch.tensor([[0.0], [0.0], [8.0], [9.0]]), num_neighbors=1, num_peaks=4)
    assert found.peaks.tolist() == [0, 2, 3, 1]  # rho x delta: 9, 8/e, 1/e, 0
    assert found.assignment.tolist() == [0, 0, 1, 2]


def test_when_all_tokens_are_equal_they_all_belong_to_the_first() -> None:
    found = cluster(torch.full((5, 2), 0.5), num_neighbors=3, num_peaks=2)
    assert found.log_density.tolist() == found.separation.tolist() == [0] * 5
    assert found.peaks.tolist() == [0, 1]
    assert found.assignment.tolist() == [0] * 5


@pytest.mark.parametrize("num_between", [4, 18])
def test_a_token_halfway_between_two_peaks_goes_to_the_lower_index(num_between: int) -> None:
    # With 4 tokens between them the peaks are among the kept neighbours, with 18 they are not.
    left, right = [[-64.0, 0.0], [-64.0, 0.5]], [[64.0, 0.0], [64.0, 0.0]]
    heights = [0.0, -40.5, *(sign * step for step in range(2, 18, 2) for sign in (1.0, -1.0))]
    between = [[0.0, height] for height in heights[:num_between]]
    found = cluster(torch.tensor(left + right + between), num_neighbors=1, num_peaks=2)
    assert found.peaks.tolist() == [2, 0]  # the right one is denser, the left one comes first
    assert found.peaks[found.assignment[4]] == 0


def test_density_that_underflows_still_ranks() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(40, 64, generator=generator) * 10 / 8  # norm about 10
    found = cluster(tokens, num_peaks=40)
    assert found.log_density.exp().eq(0).sum() == 40
    exact = cluster(tokens.double(), num_peaks=40)
    squared = naive_squared(tokens.double())
    density = naive_density(squared, num_neighbors=5)  # float64 reaches exp(-745)
    assert min(density) > 0
    separation = naive_separation(squared, density)
    by_score = sorted(range(40), key=lambda i: density[i] * separation[i], reverse=True)
    assert found.peaks.tolist() == exact.peaks.tolist() == by_score


def test_a_far_origin_costs_no_digits() -> None:
    tokens = three_clusters(dtype=torch.float32)
    near, far = cluster(tokens), cluster(tokens + 1000)
    torch.testing.assert_close(far.log_density, near.log_density, rtol=0, atol=1e-3)
    assert far.peaks.equal(near.peaks)


@pytest.mark.parametrize("num_tokens", [0, 1])
@pytest.mark.parametrize("include_self", [False, True])
def test_fewer_than_two_tokens_are_refused(num_tokens: int, *, include_self: bool) -> None:
    with pytest.raises(ValueError, match=f"need at least 2 tokens, found {num_tokens}"):
        density_peaks(
            torch.ones(num_tokens, 3),
            num_neighbors=1,
            include_self=include_self,
            break_ties=True,
            num_peaks=1,
            search=ExactNeighbors(),
            block_bytes=1024,
        )


@pytest.mark.parametrize("num_neighbors", [-1, 0, 4, 5])
def test_number_of_neighbors_out_of_range_is_refused(num_neighbors: int) -> None:
    with pytest.raises(ValueError, match=rf"num_neighbors \({num_neighbors}\) must be in 1..3"):
        cluster(torch.eye(4), num_neighbors=num_neighbors, num_peaks=1)


@pytest.mark.parametrize("num_neighbors", [0, 5])
def test_number_of_neighbors_may_reach_the_tokens_if_each_counts_itself(num_neighbors: int) -> None:
    message = rf"num_neighbors \({num_neighbors}\) must be in 1..4 with 4 tokens"
    with pytest.raises(ValueError, match=message):
        cluster(torch.eye(4), num_neighbors=num_neighbors, include_self=True, num_peaks=1)


@pytest.mark.parametrize("num_peaks", [-1, 0, 5])
def test_number_of_peaks_out_of_range_is_refused(num_peaks: int) -> None:
    with pytest.raises(ValueError, match=rf"num_peaks \({num_peaks}\) must be in 1..4"):
        cluster(torch.eye(4), num_neighbors=1, num_peaks=num_peaks)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_tokens_that_are_not_finite_are_refused(value: float) -> None:
    tokens = torch.eye(4)
    tokens[2, 1] = value
    with pytest.raises(ValueError, match="tokens hold NaN or Inf"):
        cluster(tokens, num_neighbors=1, num_peaks=1)
