"""FAISS searches by distance around the origin alone, and no order of its ties counts.

From queries x width = 128,000 on FAISS takes |a|^2 + |b|^2 - 2ab for a distance (20 queries before
1.12): near vectors far from the origin then lie at distance 0 and others are the nearest, see
findings/faiss_more_queries_other_distances.sh. Equal inner products come last row first, see
findings/faiss_equal_scores_come_backwards.sh.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
from torch import Tensor

from item_vectors import brute_force, random_users, random_vectors
from missrec.interests.dpc_knn import density_peaks
from missrec.interests.neighbors import ExactNeighbors, FaissNeighbors
from missrec.retrieval.bounded import BoundedSearch
from missrec.retrieval.exact import ExactSearch
from missrec.retrieval.faiss_index import FaissIndex
from missrec.retrieval.search import Wanted
from missrec.retrieval.table import ItemTable

SRC = Path(__file__).resolve().parents[1] / "src" / "missrec"
JUDGED = {
    "interests/neighbors.py": "distances of tokens, which come around their mean",
    "features/quantization.py": "no neighbours: codebooks lose as much 1,000 from the origin",
    "retrieval/faiss_index.py": "inner products, which have no such form",
}
"""Files that call FAISS, and why that is right. Who adds one says whether it centres."""


def calls_faiss(source: str) -> bool:
    return (
        "faiss" in source
        and any(
            (isinstance(node, ast.Import) and any(name.name == "faiss" for name in node.names))
            or (isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "faiss")
            for node in ast.walk(ast.parse(source))
        )
        and any(
            isinstance(node, ast.Attribute)
            and node.attr in {"search", "range_search", "assign", "train", "knn", "Kmeans"}
            for node in ast.walk(ast.parse(source))
        )
    )


def test_a_new_search_by_faiss_is_seen() -> None:
    assert calls_faiss("import faiss\nfaiss.IndexFlatL2(3).search(tokens, 5)")
    assert calls_faiss("def f():\n    import faiss\n    faiss.Kmeans(3, 5).train(tokens)")
    assert not calls_faiss("import faiss\nversion = faiss.__version__")
    assert not calls_faiss("pattern.search(text)")


def test_every_search_by_faiss_was_judged() -> None:
    found = {str(p.relative_to(SRC)) for p in SRC.rglob("*.py") if calls_faiss(p.read_text())}
    assert found == set(JUDGED)


def far(tokens: Tensor) -> Tensor:
    """The same far from the origin; numbers of 1/8 lose nothing there."""
    return tokens + 4096


def on_eighths(num_tokens: int = 700, width: int = 256) -> Tensor:
    """More tokens x width than FAISS's limit."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(num_tokens, width, generator=generator) * 8).round() / 8


@pytest.mark.parametrize("include_self", [True, False])
def test_interests_far_from_the_origin_are_those_around_it(*, include_self: bool) -> None:
    near, other = (
        density_peaks(
            tokens,
            num_neighbors=5,
            include_self=include_self,
            break_ties=True,
            num_peaks=50,
            search=ExactNeighbors(),
            block_bytes=1 << 26,
        )
        for tokens in (on_eighths(), far(on_eighths()))
    )
    torch.testing.assert_close(other.log_density, near.log_density)
    torch.testing.assert_close(other.separation, near.separation)
    assert other.peaks.equal(near.peaks)
    assert other.assignment.equal(near.assignment)


def test_faiss_is_given_tokens_around_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    # Which cells it looks into goes by the short form; what it finds there is too much by chance,
    # as k-means is, to be compared.
    given: list[np.ndarray] = []

    class Recording(faiss.IndexIVFFlat):  # type: ignore[misc]
        def add(self, vectors: np.ndarray) -> None:
            given.append(vectors.copy())
            super().add(vectors)

    monkeypatch.setattr(faiss, "IndexIVFFlat", Recording)
    tokens = far(on_eighths())
    search = FaissNeighbors(num_probes=2)
    list(search(tokens, rows=range(len(tokens)), count=5, block_bytes=1 << 26))
    (vectors,) = given
    assert abs(vectors.mean(axis=0)).max() < 1e-3
    np.testing.assert_allclose(vectors, tokens - tokens.double().mean(dim=0), atol=1e-3)


class Backwards:
    """An index that gives equal rows in the other order, or leaves out others of the last score."""

    def __init__(self, index: FaissIndex) -> None:
        self._index = index
        self.is_exact, self.most_rows = index.is_exact, index.most_rows

    def nearest(self, encoded: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
        scores, places = self._index.nearest(encoded, count=self.most_rows)
        by_place = places.argsort(dim=1, descending=True, stable=True)
        order = scores.gather(1, by_place).argsort(dim=1, descending=True, stable=True)
        order = by_place.gather(1, order)[:, :count]
        return scores.gather(1, order), places.gather(1, order)


def searches(table: ItemTable) -> Iterator[BoundedSearch]:
    index = FaissIndex.build(table, description="Flat")
    exact = ExactSearch(table, items_per_block=7)
    yield BoundedSearch(table, index, exact=exact)
    yield BoundedSearch(table, Backwards(index), exact=exact)  # type: ignore[arg-type]


@pytest.mark.parametrize("num_distinct", [1, 3, 10])
def test_whatever_order_an_index_gives_ties_in_the_smaller_key_comes_first(
    num_distinct: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("missrec.retrieval.bounded._LARGEST_SHARE", 1)
    vectors = random_vectors(40, num_distinct=num_distinct, seed=1)
    generator = torch.Generator().manual_seed(2)
    table = ItemTable(vectors, key_ranks=torch.randperm(40, generator=generator))
    users = random_users(2)
    for search in searches(table):
        for k in (1, 3, 4):
            found = search.top_k(users, k=k, wanted=Wanted())
            expected = brute_force(table, users, k=k, wanted=Wanted())
            assert found.items.equal(expected.items)
            assert found.scores.equal(expected.scores)
