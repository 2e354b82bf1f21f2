from __future__ import annotations

from pathlib import Path

import pytest
import torch

from item_vectors import random_users, random_vectors
from missrec.data.manifest import FolderError
from missrec.retrieval.bounded import BoundedSearch
from missrec.retrieval.exact import ExactSearch
from missrec.retrieval.faiss_index import FaissIndex
from missrec.retrieval.search import NO_ITEM, TopK, Wanted
from missrec.retrieval.table import ItemTable

NUM_ITEMS = 4_000
K = 20


@pytest.fixture(scope="module")
def table() -> ItemTable:
    vectors = random_vectors(NUM_ITEMS, width=12, bias=True)
    return ItemTable(vectors, key_ranks=torch.randperm(NUM_ITEMS))


@pytest.fixture(scope="module")
def built(table: ItemTable) -> FaissIndex:
    return FaissIndex.build(table)


def best(table: ItemTable, index: FaissIndex, wanted: Wanted = Wanted()) -> TopK:  # noqa: B008
    search = BoundedSearch(table, index, exact=ExactSearch(table))
    return search.top_k(random_users(30, width=12), k=K, wanted=wanted)


def exact_best(table: ItemTable, wanted: Wanted = Wanted()) -> TopK:  # noqa: B008
    return ExactSearch(table).top_k(random_users(30, width=12), k=K, wanted=wanted)


@pytest.mark.parametrize(
    ("description", "search"),
    [(None, "nprobe=60"), ("IVF16,SQ8", "nprobe=12"), ("HNSW32,SQ8", "efSearch=200")],
)
def test_most_of_the_best_are_found_and_their_scores_are_exact(
    table: ItemTable, description: str | None, search: str
) -> None:
    index = FaissIndex.build(table, description=description, search=search)
    assert not index.is_exact
    found, expected = best(table, index), exact_best(table)
    pairs = zip(found.items, expected.items, strict=True)
    assert torch.stack([torch.isin(true, own).double().mean() for own, true in pairs]).mean() > 0.9
    users = torch.arange(30).repeat_interleave(K)
    scores = table.pair_scores(random_users(30, width=12), users, found.items.flatten()).total
    assert scores.equal(found.scores.flatten())


@pytest.mark.parametrize("description", ["PCA16,Flat", "PCAR16,SQ8", "PCA16,IVF4,SQ8"])
def test_pca_leaves_the_order_of_items_that_lie_far_from_the_origin(description: str) -> None:
    # FAISS 1.15 subtracts the mean, and <q - m, x - m> is ordered otherwise than <q, x>; see
    # findings/faiss_pca_moves_inner_products.sh.
    vectors = random_vectors(NUM_ITEMS, width=12)
    assert vectors.ids is not None
    table = ItemTable(vectors._replace(ids=vectors.ids + 3), key_ranks=torch.arange(NUM_ITEMS))
    search = "nprobe=4" if "IVF" in description else ""
    found = best(table, FaissIndex.build(table, description=description, search=search))
    pairs = zip(found.items, exact_best(table).items, strict=True)
    assert torch.stack([torch.isin(true, own).double().mean() for own, true in pairs]).mean() > 0.9


def test_an_index_never_gives_fewer_items_than_there_are(table: ItemTable) -> None:
    index = FaissIndex.build(table, search="nprobe=1")
    found = best(table, index, Wanted(torch.arange(NUM_ITEMS) % 5 > 0))
    assert (found.items != NO_ITEM).all()
    assert (found.items % 5 > 0).all()


def test_a_short_list_of_allowed_items_is_searched_exactly(
    table: ItemTable, built: FaissIndex
) -> None:
    wanted = Wanted(torch.arange(NUM_ITEMS) % 50 == 0)
    found, expected = best(table, built, wanted), exact_best(table, wanted)
    assert found.items.equal(expected.items)
    assert found.scores.equal(expected.scores)


def test_the_same_table_gives_the_same_index(table: ItemTable, built: FaissIndex) -> None:
    users = random_users(30, width=12)
    again = FaissIndex.build(table).nearest(users, count=50)
    for one, other in zip(built.nearest(users, count=50), again, strict=True):
        assert one.equal(other)


@pytest.mark.parametrize("description", ["Flat", "IVF16,SQ8", "HNSW8"])
def test_an_index_is_kept_and_mapped(table: ItemTable, description: str, tmp_path: Path) -> None:
    index = FaissIndex.build(table, description=description)
    index.save(tmp_path / "index")
    kept = FaissIndex.load(tmp_path / "index", table)
    assert kept.is_exact == index.is_exact == (description == "Flat")
    users = random_users(5, width=12)
    for one, other in zip(
        index.nearest(users, count=50), kept.nearest(users, count=50), strict=True
    ):
        assert one.equal(other)


def test_an_index_of_other_items_or_a_damaged_one_is_refused(
    table: ItemTable, built: FaissIndex, tmp_path: Path
) -> None:
    built.save(tmp_path / "index")
    other = ItemTable(random_vectors(50, width=12, bias=True), key_ranks=torch.arange(50))
    with pytest.raises(ValueError, match="was built of other items; build it again"):
        FaissIndex.load(tmp_path / "index", other)
    path = tmp_path / "index" / "index.faiss"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FolderError, match=r"index\.faiss has \d+ bytes, its manifest says"):
        FaissIndex.load(tmp_path / "index", table)


@pytest.mark.parametrize("description", ["Flatt", "IVF", ""])
def test_words_that_faiss_does_not_know_are_refused(table: ItemTable, description: str) -> None:
    with pytest.raises(ValueError, match=f"FAISS knows no index '{description}'"):
        FaissIndex.build(table, description=description)
