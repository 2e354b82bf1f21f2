"""Tables and indexes that processes share are those that each would make."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from missrec.retrieval import rows
from missrec.retrieval.indexes import named_index
from missrec.retrieval.mapped import mapped_faiss, mapped_table
from missrec.retrieval.rows import CatalogueRows
from missrec.retrieval.search import Wanted
from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors
from toy_recommender import ToyCounts, ToyFusion, toy_recommender


def table(*, seed: int = 0, num_modalities: int = 2, **changes: Any) -> ItemTable:
    """Fifty random items."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(num_modalities, 50, 5, generator=generator)
    vectors = ItemVectors(
        ("text", "image")[:num_modalities],
        tokens,
        torch.ones(num_modalities, 50, dtype=torch.bool),
        torch.tensor(1.0),
        2.0,
        torch.randn(50, 5, generator=generator),
        None,
    )
    ranks = torch.randperm(50, generator=generator)
    return ItemTable(vectors._replace(**changes), key_ranks=ranks)


def signature(one: ItemTable) -> str:
    return CatalogueRows(one).signature


def never() -> ItemTable:
    raise AssertionError("it is there already")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ids": None},
        {"bias": torch.arange(50.0)},
        {"num_modalities": 1},
        {"alpha": torch.arange(50.0)},
    ],
)
def test_a_mapped_table_is_the_one_that_was_made(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = table(**changes)
    first = mapped_table(tmp_path / "v1", "items", lambda: made)
    second = mapped_table(tmp_path / "v1", "items", never)
    for own in (first, second):
        assert own.parts == made.parts
        assert signature(own) == signature(made)
        assert own.items.equal(made.items)
    assert first is not made  # its memory is the file's too


def test_another_name_or_version_is_another_table(tmp_path: Path) -> None:
    first = mapped_table(tmp_path / "v1", "items", table)
    others = [(tmp_path / "v1", "alike"), (tmp_path / "v2", "items")]
    for place, name in others:
        other = mapped_table(place, name, lambda: table(seed=1))
        assert signature(other) != signature(first)


def test_who_shares_nothing_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = table()
    assert mapped_table(None, "items", lambda: made) is made
    assert mapped_faiss(made, shared=None, description="Flat").is_exact
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["exact", "faiss", "faiss:Flat", "auto"])
def test_a_search_that_is_shared_finds_the_same(tmp_path: Path, words: str) -> None:
    users = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    alone = named_index(words)(table()).top_k(users, k=5, wanted=Wanted())
    for _ in range(2):
        shared = mapped_table(tmp_path / "v1", "items", table)
        found = named_index(words, shared=tmp_path / "v1")(shared)
        assert found.top_k(users, k=5, wanted=Wanted()).items.equal(alone.items)


@pytest.mark.parametrize("description", [None, "Flat"])
def test_the_rows_of_an_index_that_is_shared_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, description: str | None
) -> None:
    read = []
    monkeypatch.setattr(
        rows, "hashlib", SimpleNamespace(sha256=lambda of: read.append(of) or sha256(of))
    )
    for _ in range(2):
        mapped_faiss(table(), shared=tmp_path / "v1", description=description)
    assert len(read) == 2


@pytest.mark.parametrize("model", [ToyFusion, ToyCounts])
def test_recommenders_that_share_answer_as_one_alone(tmp_path: Path, model: type) -> None:
    alone = toy_recommender(model())
    for _ in range(2):
        sharing = toy_recommender(model(), shared=tmp_path / "v1")
        asked: list[list[str]] = [["b"], ["a", "10"]]
        assert sharing.recommend(asked).equals(alone.recommend(asked))
        assert sharing.similar(["a", "d"]).equals(alone.similar(["a", "d"]))
    assert (tmp_path / "v1_items.pt").is_file()


def test_titles_are_by_key_and_null_where_there_is_no_such_item() -> None:
    titles = toy_recommender().titles(["10", "zz", "a", "10"])
    assert titles.to_list() == ["Toy 10", None, "Toy a", "Toy 10"]
    assert toy_recommender().titles([]).to_list() == []
    assert toy_recommender().titles([10]).to_list() == ["Toy 10"]
