from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from missrec.interests import clustering
from missrec.interests.clustering import DPCKNN, SinglePrototype
from missrec.interests.dpc_knn import density_peaks, planned_bytes
from missrec.interests.index import NO_INTEREST, InterestIndex
from missrec.interests.neighbors import ExactNeighbors, FaissNeighbors, NeighborSearch
from synthetic import PARITY

FIXTURE = PARITY / "dpc_knn_released.safetensors"
NUM_CLUSTERS = 4

needs_fixture = pytest.mark.skipif(not FIXTURE.is_file(), reason="parity fixtures are not here")


def dpc_knn(**changes: Any) -> DPCKNN:
    settings: dict[str, Any] = {
        "num_neighbors": 3,
        "include_self": False,
        "scale_distances": False,
        "break_ties": True,
        "mean_prototypes": False,
        "search": ExactNeighbors(),
        "block_bytes": 1 << 20,
    }
    return DPCKNN(**{**settings, **changes})


def released(**changes: Any) -> DPCKNN:
    """As the authors' code was run for the fixture."""
    settings = {"include_self": True, "scale_distances": True, "break_ties": False}
    return dpc_knn(num_neighbors=6, **settings, **changes)


def random_tokens(num_tokens: int, *, width: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num_tokens, width, generator=generator, dtype=torch.float64)


@cache
def reference() -> dict[str, Tensor]:
    return load_file(FIXTURE)


@needs_fixture
def test_members_and_peaks_agree_with_the_authors_code() -> None:
    values = reference()
    clusters = released()(values["tokens"], num_clusters=12)
    assert clusters.assignment.equal(values["assignment"])
    assert clusters.prototypes.equal(values["tokens"][values["peaks"]])


@needs_fixture
def test_mean_prototypes_agree_with_the_authors_code() -> None:
    values = reference()
    clusters = released(mean_prototypes=True)(values["tokens"], num_clusters=12)
    sizes = values["assignment"].bincount(minlength=12)[:, None]
    theirs = clusters.prototypes * sizes / (sizes + 1e-4)  # they divide the sum by size + 1e-4
    torch.testing.assert_close(theirs, values["mean_centroids"], rtol=1e-5, atol=1e-5)


@needs_fixture
def test_density_and_separation_agree_with_the_authors_code() -> None:
    values = reference()
    scaled = values["tokens"] / math.sqrt(8)
    found = density_peaks(
        scaled,
        num_neighbors=6,
        include_self=True,
        break_ties=False,
        num_peaks=12,
        search=ExactNeighbors(),
        block_bytes=1 << 20,
    )
    torch.testing.assert_close(found.log_density.exp(), values["density"], rtol=1e-5, atol=1e-5)
    # They give the densest token the largest distance of all; Eq. 4 its own largest.
    is_densest = values["density"] == values["density"].max()
    assert int(is_densest.sum()) == 1
    torch.testing.assert_close(
        found.separation[~is_densest], values["delta"][~is_densest], rtol=1e-5, atol=1e-5
    )
    distances = torch.cdist(scaled, scaled)
    torch.testing.assert_close(found.separation[is_densest], distances[is_densest].amax(dim=1))
    torch.testing.assert_close(values["delta"][is_densest], distances.amax()[None])


@pytest.mark.parametrize(
    ("share", "num_tokens", "num_neighbors"),
    [
        (0.1, 20, 2),
        (0.1, 21, 3),  # 2.1 of the tokens
        (0.25, 20, 5),
        (0.01, 20, 1),  # 0.2 of the tokens
        (0.9, 20, 18),
        (0.07, 100, 7),  # 7.000000000000001 in floating point
    ],
)
def test_a_number_of_neighbors_below_one_is_a_share_of_the_tokens_rounded_up(
    share: float, num_tokens: int, num_neighbors: int
) -> None:
    tokens, num_clusters = random_tokens(num_tokens), num_tokens

    def prototypes(number: float) -> Tensor:
        """All tokens by falling rho x delta, which depends on k."""
        return dpc_knn(num_neighbors=number)(tokens, num_clusters=num_clusters).prototypes

    assert prototypes(share).equal(prototypes(num_neighbors))
    for other in (num_neighbors - 1, num_neighbors + 1):
        assert other == 0 or not prototypes(share).equal(prototypes(other))


def test_a_whole_number_of_neighbors_may_be_written_as_a_float() -> None:
    tokens = random_tokens(20)
    for written, whole in ((1.0, 1), (4.0, 4)):
        found, expected = (
            dpc_knn(num_neighbors=number)(tokens, num_clusters=20) for number in (written, whole)
        )
        assert found.prototypes.equal(expected.prototypes)


@pytest.mark.parametrize("num_neighbors", [-1, -0.5, 0, 1.5, 2.01, math.nan, math.inf])
def test_a_number_of_neighbors_that_is_neither_whole_nor_a_share_is_refused(
    num_neighbors: float,
) -> None:
    message = rf"num_neighbors \({num_neighbors}\) must be a whole number, or a share of the tokens"
    with pytest.raises(ValueError, match=message):
        dpc_knn(num_neighbors=num_neighbors)


@pytest.mark.parametrize(("include_self", "most"), [(False, 4), (True, 5)])
def test_more_neighbors_than_tokens_are_refused(*, include_self: bool, most: int) -> None:
    tokens = random_tokens(5)
    dpc_knn(num_neighbors=most, include_self=include_self)(tokens, num_clusters=2)
    clustering = dpc_knn(num_neighbors=most + 1, include_self=include_self)
    with pytest.raises(ValueError, match=rf"num_neighbors \({most + 1}\) must be in 1..{most}"):
        clustering(tokens, num_clusters=2)


def test_prototypes_are_the_peaks_or_the_means_of_the_same_members() -> None:
    tokens = random_tokens(30)
    peaks = dpc_knn()(tokens, num_clusters=NUM_CLUSTERS)
    means = dpc_knn(mean_prototypes=True)(tokens, num_clusters=NUM_CLUSTERS)
    assert means.assignment.equal(peaks.assignment)
    for cluster in range(NUM_CLUSTERS):
        members = [tokens[i] for i in range(30) if peaks.assignment[i] == cluster]
        assert len(members) > 1
        assert any(member.equal(peaks.prototypes[cluster]) for member in members)
        torch.testing.assert_close(means.prototypes[cluster], sum(members) / len(members))


def test_the_mean_of_no_members_is_zero() -> None:
    tokens = torch.tensor([[5.0, 1.0]] * 3 + [[0.0, 1.0]])
    clusters = dpc_knn(num_neighbors=1, mean_prototypes=True)(tokens, num_clusters=3)
    assert clusters.assignment.tolist() == [0, 0, 0, 1]
    assert clusters.prototypes.tolist() == [[5, 1], [0, 1], [0, 0]]


def test_scaled_distances_are_divided_by_the_root_of_the_width() -> None:
    tokens = random_tokens(30, width=4)
    scaled = dpc_knn(scale_distances=True)(tokens, num_clusters=30)
    halved = dpc_knn()(tokens / 2, num_clusters=30)  # sqrt(4)
    plain = dpc_knn()(tokens, num_clusters=30)
    assert scaled.prototypes.equal(2 * halved.prototypes)
    assert scaled.assignment.equal(halved.assignment)
    assert not scaled.prototypes.equal(plain.prototypes)


@pytest.mark.parametrize("break_ties", [False, True])
def test_of_duplicates_all_are_peaks_unless_ties_are_broken(*, break_ties: bool) -> None:
    tokens = torch.tensor([[0.0]] * 3 + [[8.0]] * 3)
    clustering = dpc_knn(num_neighbors=2, break_ties=break_ties)
    second = [8.0] if break_ties else [0.0]
    assert clustering(tokens, num_clusters=2).prototypes.tolist() == [[0.0], second]


def test_a_single_prototype_is_zero_and_takes_every_token() -> None:
    clusters = SinglePrototype()(random_tokens(5), num_clusters=3)
    assert clusters.prototypes.tolist() == [[0, 0, 0]] * 3
    assert clusters.prototypes.dtype == torch.float64
    assert clusters.assignment.tolist() == [0] * 5


def test_through_a_single_prototype_every_sequence_has_the_same_one_interest() -> None:
    present = torch.ones(2, 7, dtype=torch.bool)
    present[:, 0] = False
    present[:, 4] = False
    index = InterestIndex(
        present=present,
        embed_dim=3,
        ratio=0.5,
        clustering=SinglePrototype(),
        normalize_tokens=False,
        padding_slot=False,
    )
    first, second = (index.refresh(random_tokens(14).view(2, 7, 3).float()) for _ in range(2))
    assert first.num_live == second.num_live == 1
    assert math.isfinite(second.drift)
    assert index.interest_of_item.tolist() == torch.where(present, 0, NO_INTEREST).tolist()
    interests = index(torch.tensor([[1, 2, 3], [5, 0, 0], [4, 0, 0]]))
    assert interests.valid_mask.tolist() == [[True], [True], [False]]
    assert interests.embeddings.eq(0).all()


def test_a_large_clustering_says_what_memory_it_takes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    with caplog.at_level("INFO"):
        dpc_knn()(tokens, num_clusters=5)
        assert not caplog.messages
        monkeypatch.setattr(clustering, "_WORTH_SAYING", 0)
        dpc_knn()(tokens, num_clusters=5)
    assert caplog.messages == ["DPC-KNN of 50 tokens takes up to 0.0 GB"]


def test_the_plan_grows_with_the_tokens_not_with_their_square() -> None:
    def plan(num_tokens: int, search: NeighborSearch) -> int:
        return planned_bytes(
            num_tokens=num_tokens, embed_dim=300, search=search, block_bytes=1 << 27
        )

    exact, approximate = ExactNeighbors(), FaissNeighbors(num_probes=1)
    assert plan(541_126, exact) < 4e9
    assert plan(541_126, approximate) < 4e9
    growth = plan(1_000_000, exact) - plan(500_000, exact)
    assert growth == plan(1_500_000, exact) - plan(1_000_000, exact)
    assert plan(500_000, approximate) > plan(500_000, exact)
