"""Every exact search gives what scoring each pair gives, ids and scores to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from item_vectors import brute_force, random_users, random_vectors
from missrec.models.last_item_transition import LastItemTransition
from missrec.retrieval import bounded, exact
from missrec.retrieval.bounded import BoundedSearch
from missrec.retrieval.exact import ExactSearch
from missrec.retrieval.faiss_index import FaissIndex
from missrec.retrieval.milvus import MilvusIndex
from missrec.retrieval.scored import ScoredSearch
from missrec.retrieval.search import NO_ITEM, Search, Wanted
from missrec.retrieval.table import ItemTable
from synthetic import catalogue, random_sequences


@pytest.fixture(autouse=True)
def few_items_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of tests are so small that all would be scored at once."""
    monkeypatch.setattr(exact, "_FEW_ITEMS", 3)
    monkeypatch.setattr(bounded, "_LARGEST_SHARE", 1)


def in_blocks(table: ItemTable) -> Search:
    return ExactSearch(table, items_per_block=7)


def by_bounds(table: ItemTable) -> Search:
    index = FaissIndex.build(table, description="Flat")
    assert index.is_exact
    return BoundedSearch(table, index, exact=ExactSearch(table, items_per_block=7))


alphas = st.sampled_from([0.0, 1.0, -2.0, 30.0, math.inf])


@st.composite
def tables(draw: st.DrawFn) -> ItemTable:
    num_items = draw(st.integers(1, 40))
    modalities = draw(st.sampled_from([(), ("text",), ("text", "image"), ("a", "b", "c")]))
    ids, bias = draw(st.booleans()), draw(st.booleans())
    each = st.lists(alphas.filter(math.isfinite), min_size=num_items, max_size=num_items)
    vectors = random_vectors(
        num_items,
        modalities=modalities,
        alpha=draw(alphas | each),
        modality_weight=draw(st.sampled_from([1.0, 2 / 3, -1.0])),
        ids=ids or not modalities,
        bias=bias,
        num_distinct=draw(st.sampled_from([None, 1, 3, 10])),
        seed=draw(st.integers(0, 3)),
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    return ItemTable(vectors, key_ranks=torch.randperm(num_items, generator=generator))


@st.composite
def wishes(draw: st.DrawFn, *, num_items: int, num_users: int) -> Wanted:
    allowed = draw(st.none() | st.lists(st.booleans(), min_size=num_items, max_size=num_items))
    pairs = draw(
        st.lists(st.tuples(st.integers(0, num_users - 1), st.integers(0, num_items - 1)))
        | st.none()
    )
    if pairs is not None:
        columns = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(dim=1)
    return Wanted(
        None if allowed is None else torch.tensor(allowed), *(columns if pairs is not None else ())
    )


@pytest.mark.parametrize("make", [in_blocks, by_bounds])
@settings(max_examples=60)
@given(data=st.data())
def test_the_best_are_those_of_brute_force(
    make: Callable[[ItemTable], Search], data: st.DataObject
) -> None:
    table = data.draw(tables())
    users = random_users(3, width=table.width, seed=data.draw(st.integers(0, 3)))
    if data.draw(st.booleans()):
        users[1] = 0  # as of a history without any feature: all its scores tie
    wanted = data.draw(wishes(num_items=len(table), num_users=len(users)))
    k = data.draw(st.sampled_from([1, 2, 5, 40, 60]))
    found = make(table).top_k(users, k=k, wanted=wanted)
    expected = brute_force(table, users, k=k, wanted=wanted)
    assert found.items.equal(expected.items)
    assert found.scores.equal(expected.scores)


@pytest.mark.parametrize("make", [in_blocks, by_bounds])
def test_popularity_alone_orders_ties_by_key(make: Callable[[ItemTable], Search]) -> None:
    vectors = random_vectors(6, width=0, modalities=(), ids=False, bias=True)
    vectors = vectors._replace(bias=torch.tensor([1.0, 2, 2, 2, 0, 2]))
    table = ItemTable(vectors, key_ranks=torch.tensor([5, 4, 3, 2, 1, 0]))
    users = torch.zeros(2, 0)
    found = make(table).top_k(users, k=3, wanted=Wanted())
    assert found.items.tolist() == [[4, 3, 2]] * 2
    assert found.scores.tolist() == [[2.0, 2.0, 2.0]] * 2


def test_a_user_s_best_do_not_depend_on_the_batch_or_on_k() -> None:
    table = ItemTable(random_vectors(40, num_distinct=12), key_ranks=torch.arange(40))
    users = random_users(9)
    for search in (in_blocks(table), by_bounds(table)):
        together = search.top_k(users, k=20, wanted=Wanted())
        for row in range(len(users)):
            alone = search.top_k(users[row : row + 1], k=7, wanted=Wanted())
            assert alone.items[0].equal(together.items[row, :7])
            assert alone.scores[0].equal(together.scores[row, :7])


@pytest.mark.parametrize("make", [in_blocks, by_bounds])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_users_that_are_not_finite_are_refused(
    make: Callable[[ItemTable], Search], number: float
) -> None:
    users = random_users(3)
    users[1, 2] = number
    search = make(ItemTable(random_vectors(5), key_ranks=torch.arange(5)))
    with pytest.raises(ValueError, match="user 1 of the batch has a NaN or an infinity"):
        search.top_k(users, k=2, wanted=Wanted())
    with pytest.raises(ValueError, match=r"k \(0\) must be at least 1"):
        search.top_k(random_users(3), k=0, wanted=Wanted())


def test_nobody_asks_and_nothing_is_allowed() -> None:
    table = ItemTable(random_vectors(5), key_ranks=torch.arange(5))
    nothing = Wanted(torch.zeros(5, dtype=torch.bool))
    for search in (in_blocks(table), by_bounds(table)):
        assert search.top_k(random_users(0), k=2, wanted=Wanted()).items.shape == (0, 2)
        found = search.top_k(random_users(2), k=2, wanted=nothing)
        assert (found.items == NO_ITEM).all()
        assert (found.scores == -math.inf).all()


def test_milvus_lite_finds_what_brute_force_finds(tmp_path: Path) -> None:
    table = ItemTable(
        random_vectors(60, num_distinct=25, bias=True),
        key_ranks=torch.randperm(60, generator=torch.Generator().manual_seed(0)),
    )
    users = random_users(4)
    some = Wanted(torch.arange(60) % 3 > 0, torch.tensor([0, 1]), torch.tensor([4, 5]))
    for _ in range(2):  # filled, then found filled
        index = MilvusIndex.open(table, uri=str(tmp_path / "items.db"))
        assert index.is_exact
        search = BoundedSearch(table, index, exact=ExactSearch(table))
        for wanted in (Wanted(), some):
            for k in (1, 5, 70):
                found = search.top_k(users, k=k, wanted=wanted)
                expected = brute_force(table, users, k=k, wanted=wanted)
                assert found.items.equal(expected.items)
                assert found.scores.equal(expected.scores)
        index.close()


def naive_best(scores: Tensor, ranks: Tensor, wanted: Wanted, *, k: int) -> list[list[int]]:
    best = []
    for row in scores.tolist():
        allowed = [
            item for item in range(len(row)) if wanted.allowed is None or bool(wanted.allowed[item])
        ]
        order = sorted(allowed, key=lambda item: (-row[item], int(ranks[item])))[:k]
        best.append(order + [NO_ITEM] * (k - len(order)))
    return best


@pytest.mark.parametrize("k", [1, 5, 30, 50])
def test_a_model_without_vectors_is_scored_in_blocks(k: int) -> None:
    num_items = 30
    sequences = random_sequences(num_users=40, num_items=num_items, longest=12)
    model = LastItemTransition(catalogue=catalogue(sequences, features={}, num_items=num_items))
    ranks = torch.randperm(num_items, generator=torch.Generator().manual_seed(0))
    item_ids = torch.arange(1, num_items + 1)
    encoded = torch.tensor([3, 8, 30])
    scores = model.score(encoded, model.candidates(item_ids))
    search = ScoredSearch(model, item_ids, key_ranks=ranks, items_per_block=7)
    for wanted in (Wanted(), Wanted(torch.arange(num_items) % 4 > 0)):
        found = search.top_k(encoded, k=k, wanted=wanted)
        assert found.items.tolist() == naive_best(scores, ranks, wanted, k=k)
        there = found.items != NO_ITEM
        assert found.scores[there].equal(scores.gather(1, found.items.clamp_min(0))[there])
