"""What a recommender answers, against arithmetic on five items."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

from missrec.retrieval.catalogue import CatalogueItems, CatalogueUsers
from missrec.retrieval.faiss_index import FaissIndex
from missrec.retrieval.histories import Histories
from missrec.retrieval.indexes import named_index
from missrec.retrieval.milvus import MilvusIndex
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.retrieval.search import Wanted
from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors
from toy_recommender import (
    FIRST_ID,
    IDS,
    IMAGE,
    KEYS,
    TEXT,
    USERS,
    WEIGHT,
    ToyChain,
    ToyCounts,
    ToyFusion,
    scored,
    toy_items,
    toy_recommender,
)

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def toys() -> CatalogueRecommender:
    return toy_recommender()


def ranked(
    history: Sequence[str], k: int, *, among: Sequence[str] = tuple(KEYS), seen: bool = False
) -> list[str]:
    """The best of some items, by score and key; the model reads the last three of a history."""
    wanted = [key for key in among if seen or key not in history]
    totals = {key: sum(scored(history[-3:], key).values()) for key in wanted}
    return sorted(wanted, key=lambda key: (-round(totals[key], 9), key))[:k]


def items_of(frame: pl.DataFrame, history: int, **where: str) -> list[str]:
    chosen = frame.filter(pl.col("history") == history)
    for column, value in where.items():
        chosen = chosen.filter(pl.col(column) == value)
    assert chosen["rank"].to_list() == list(range(1, len(chosen) + 1))
    found: list[str] = chosen["item"].to_list()
    return found


HISTORIES = [["b"], ["d", "10"], ["e", "b", "e"], ["10", "10", "d", "b"]]


@pytest.mark.parametrize("k", [1, 2, 4, 5, 50])
def test_the_best_items_of_each_history(toys: CatalogueRecommender, k: int) -> None:
    found = toys.recommend(HISTORIES, k=k)
    for place, history in enumerate(HISTORIES):
        assert items_of(found, place) == ranked(history, k)
    everything = toys.recommend(HISTORIES, k=k, exclude_seen=False)
    for place, history in enumerate(HISTORIES):
        assert items_of(everything, place) == ranked(history, k, seen=True)


def test_a_score_and_what_each_part_is_of_it(toys: CatalogueRecommender) -> None:
    for row in toys.recommend(HISTORIES, k=5).iter_rows(named=True):
        parts = scored(HISTORIES[row["history"]][-3:], row["item"])
        assert row["score"] == pytest.approx(sum(parts.values()))
        sizes = sum(map(abs, parts.values()))
        for name, value in parts.items():
            assert row[f"share_{name}"] == pytest.approx(abs(value) / sizes if sizes else 0)


def test_equal_scores_go_by_key_whatever_the_numbers(toys: CatalogueRecommender) -> None:
    a, e = (KEYS.index(key) for key in ("a", "e"))
    assert e < a
    found = toys.recommend([["b"]], k=5).filter(pl.col("item").is_in(["a", "e"]))
    assert found["item"].to_list() == ["a", "e"]
    assert found["score"].n_unique() == 1


def test_allow_and_block_bound_what_may_come(toys: CatalogueRecommender) -> None:
    for allow, block in [(["a", "d"], None), (None, ["a", "d"]), (["a", "d", "10"], ["d"])]:
        among = [k for k in KEYS if (not allow or k in allow) and k not in (block or [])]
        found = toys.recommend(HISTORIES, k=5, allow=allow, block=block)
        for place, history in enumerate(HISTORIES):
            assert items_of(found, place) == ranked(history, 5, among=among)
    assert toys.recommend(HISTORIES, allow=[]).is_empty()
    assert toys.recommend(HISTORIES, block=KEYS).is_empty()


def test_several_lists_of_a_request_come_one_after_the_other(toys: CatalogueRecommender) -> None:
    lists = {"new": ["d", "a"], "all": KEYS, "none": []}
    found = toys.recommend(HISTORIES, k=2, lists=lists, block=["10"])
    for place, history in enumerate(HISTORIES):
        for name, keys in lists.items():
            among = [key for key in keys if key != "10"]
            assert items_of(found, place, list=name) == ranked(history, 2, among=among)
    order = found.select("history", "list").unique(maintain_order=True).rows()
    every = [(place, name) for place in range(4) for name in ("new", "all")]
    assert order == [one for one in every if one in order]
    assert found.columns[:2] == ["history", "list"]


def test_a_history_without_known_items_has_no_rows_and_the_others_keep_their_places(
    toys: CatalogueRecommender,
) -> None:
    found = toys.recommend([[], ["b"], ["x"], ["x", "d", "y"]], k=1)
    assert found.select("history", "item").rows() == [
        (1, ranked(["b"], 1)[0]),
        (3, ranked(["d"], 1)[0]),
    ]
    for nothing in ([], [[]], [["x"]], iter([])):
        empty = toys.recommend(nothing)
        assert empty.schema == found.schema
        assert empty.is_empty()
    lists = {"new": ["d"]}
    assert toys.recommend([], lists=lists).schema == toys.recommend([["b"]], lists=lists).schema


def test_of_a_long_history_the_recent_items_count_and_all_are_excluded(
    toys: CatalogueRecommender,
) -> None:
    long, recent = ["d", "b", "10", "b"], ["b", "10", "b"]
    assert toys.encode([long])["vector"].to_list() == toys.encode([recent])["vector"].to_list()
    assert items_of(toys.recommend([long], k=5), 0) == ranked(recent, 5, among=["e", "a"])


def test_histories_of_any_lengths_are_told_apart(toys: CatalogueRecommender) -> None:
    many = [[KEYS[(place + step) % 5] for step in range(place % 4 + 1)] for place in range(300)]
    found = toys.encode(many)["vector"].to_list()
    assert found == [toys.encode([history])["vector"].to_list()[0] for history in many]


def test_a_repeated_item_counts_each_time(toys: CatalogueRecommender) -> None:
    once, twice = toys.encode([["b", "e"], ["b", "b", "e"]])["vector"].to_list()
    assert once == [0.5, 0.5]
    assert twice == pytest.approx([2 / 3, 1 / 3])


FORMS: list[Any] = [
    [["10", "b"], [], ["d"]],
    [(10, "b"), [], ("d",)],
    [[np.int64(10), "b"], np.array([], dtype=str), np.array(["d"])],
    [pl.Series(["10", "b"]), pl.Series([], dtype=pl.String), pl.Series(["d"])],
    pl.Series("h", [["10", "b"], [], ["d"]]),
    pl.Series("h", [["10", "b"], [], ["d"]], dtype=pl.List(pl.Categorical)),
    pl.DataFrame({"user": [1, 2, 3], "items": [["10", "b"], [], ["d"]]}),
    (keys for keys in (["10", "b"], [], ["d"])),
]


@pytest.mark.parametrize("histories", FORMS, ids=range(len(FORMS)))
def test_histories_come_as_lists_or_frames(toys: CatalogueRecommender, histories: Any) -> None:
    assert toys.encode(histories).equals(toys.encode(FORMS[0]))


@pytest.mark.parametrize(
    "histories",
    [
        pl.Series("h", [[10], [10]]),
        pl.Series("h", [[10], [10]], dtype=pl.Array(pl.UInt8, 1)),
        [[10], [10]],
    ],
)
def test_whole_numbers_are_keys_by_their_digits(toys: CatalogueRecommender, histories: Any) -> None:
    assert toys.encode(histories).equals(toys.encode([["10"], ["10"]]))
    assert toys.recommend([["b"]], allow=[10])["item"].to_list() == ["10"]
    assert toys.recommend_users([7]).equals(toys.recommend_users(["7"]))
    assert toys.explain([10], 10).equals(toys.explain(["10"], "10"))
    assert toys.similar([10]).equals(toys.similar(["10"]))


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ("b", r"histories must be lists of keys, such as \[\[\.\.\.\], \[\.\.\.\]\], not 'b'"),
        (7, r"histories must be lists of keys"),
        (None, r"histories must be lists of keys"),
        (["b", "e"], r"history 0 must be a list of keys, such as \['b'\], not 'b'"),
        ([["b"], 10], r"history 1 must be a list of keys"),
        ([["b"], [None]], r"history 1 holds None, a NoneType; keys are texts or whole numbers"),
        ([["b", 1.5]], r"history 0 holds 1\.5, a float"),
        ([["b", True]], r"history 0 holds True, a bool"),
        ([[["b"]]], r"history 0 holds \['b'\], a list"),
        ([["b"], {"b", "e"}], r"history 1 is a set, which has no order; make it a list"),
        (pl.Series("h", ["b"]), r"the column 'h' holds String; a history is a list of keys"),
        (pl.Series("h", [["b"], None]), r"the column 'h' holds a null"),
        (pl.Series("h", [["b", None]]), r"the column 'h' holds a null"),
        (pl.Series("h", [[1.5]]), r"the column 'h' holds Float64"),
        (pl.DataFrame({"user": ["u"], "item": ["b"]}), r"not the columns \['user', 'item'\]"),
        (pl.DataFrame({"a": [["b"]], "b": [["b"]]}), r"one column of lists, not the columns"),
    ],
)
def test_what_is_no_list_of_keys_is_refused(
    toys: CatalogueRecommender, histories: Any, message: str
) -> None:
    for ask in (toys.recommend, toys.encode, toys.unknown):
        with pytest.raises(ValueError, match=message):
            ask(histories)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"k": 0}, r"k \(0\) must be a whole number of at least 1"),
        ({"k": -1}, r"k \(-1\)"),
        ({"k": 2.0}, r"k \(2\.0\)"),
        ({"k": True}, r"k \(True\)"),
        ({"allow": "b"}, r"allow must be a list of keys, such as \['b'\], not 'b'"),
        ({"block": [None]}, r"block holds None"),
        ({"lists": {"new": "b"}}, r"lists, 'new' must be a list of keys"),
        ({"lists": ["b"]}, r"lists must name lists of keys"),
        ({"lists": {}}, r"lists holds none"),
        ({"lists": {"new": None}}, r"lists, 'new' must be a list of keys"),
        ({"lists": {1: ["b"], "1": ["e"]}}, r"lists has two of the name '1'"),
        ({"exclude_seen": "no"}, r"exclude_seen \(no\) must be true or false"),
    ],
)
def test_a_request_that_cannot_be_is_refused(
    toys: CatalogueRecommender, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        toys.recommend([["b"]], **asked)
    with pytest.raises(ValueError, match=message):
        toys.recommend_users(**asked)


@pytest.mark.parametrize("k", [np.int64(2), 10**12])
def test_k_may_be_any_whole_number_however_large(toys: CatalogueRecommender, k: Any) -> None:
    plain = min(int(k), len(KEYS))
    assert toys.recommend(HISTORIES, k=k).equals(toys.recommend(HISTORIES, k=plain))
    assert toys.similar(KEYS, k=k).equals(toys.similar(KEYS, k=plain))


@pytest.mark.parametrize("size", [0, -1])
def test_batches_of_nothing_are_refused_rather_than_none(
    toys: CatalogueRecommender, size: int
) -> None:
    with pytest.raises(ValueError, match=rf"batch_size \({size}\) must be at least 1"):
        list(toys.recommend_in_batches(HISTORIES, batch_size=size))


def test_batches_are_read_as_they_come_and_are_the_whole(toys: CatalogueRecommender) -> None:
    many = [HISTORIES[place % 4] if place % 5 else ["x"] for place in range(23)]
    taken = []

    def stream() -> Iterator[list[str]]:
        for place, history in enumerate(many):
            taken.append(place)
            yield history

    batches = toys.recommend_in_batches(stream(), k=2, batch_size=4)
    first = next(batches)
    assert len(taken) == 4
    assert first["history"].unique().to_list() == [1, 2, 3]
    frames = [first, *batches]
    assert len(frames) == 6
    whole = toys.recommend(many, k=2)
    assert pl.concat(frames).equals(whole)
    column = pl.Series(many)
    assert pl.concat(toys.recommend_in_batches(column, k=2, batch_size=4)).equals(whole)


def test_users_are_recommended_for_by_all_they_have_had(toys: CatalogueRecommender) -> None:
    assert toys.users.to_list() == list(USERS)
    assert toys.histories().to_list() == list(USERS.values())
    assert toys.histories(["bob", 7]).to_list() == [USERS["bob"], USERS["7"]]
    for users in (None, ["bob", "ann"], []):
        names = list(USERS) if users is None else users
        found = toys.recommend_users(users, k=3)
        same = toys.recommend(toys.histories(names), k=3)
        assert found.drop("user").equals(same.drop("history"))
        assert found["user"].to_list() == [names[place] for place in same["history"]]
    with pytest.raises(ValueError, match="users: 'cid' is none of the users of toys"):
        toys.histories(["cid"])


def test_unknown_keys_are_told_and_listed(
    toys: CatalogueRecommender, caplog: pytest.LogCaptureFixture
) -> None:
    histories = [["x", "b"], ["e"], ["y", "x", "d"], [5]]
    assert toys.unknown(histories).rows() == [(0, "x"), (2, "y"), (2, "x"), (3, "5")]
    assert toys.unknown([]).schema == toys.unknown(histories).schema
    with caplog.at_level(logging.WARNING):
        toys.recommend(histories)
    assert caplog.messages == ["4 of 7 keys are none of the items of toys, such as 'x', 'y', '5'"]
    for ask in (
        lambda: toys.recommend([["b"]], allow=["b", "x"]),
        lambda: toys.recommend([["b"]], lists={"l": ["x", "b"]}),
        lambda: toys.similar(["x", "b"]),
        lambda: toys.item_vectors(["x", "b"]),
        lambda: toys.explain(["x", "b"], "e"),
    ):
        caplog.clear()
        ask()
        assert caplog.messages == ["1 of 2 keys are none of the items of toys, such as 'x'"]
    caplog.clear()
    assert toys.recommend_users(["cid"]).is_empty()
    assert caplog.messages == ["1 of 1 keys are none of the users of toys, such as 'cid'"]


def test_similar_items_are_those_of_a_like_vector() -> None:
    toys = toy_recommender()
    means = (TEXT + IMAGE) / torch.tensor([2.0, 2, 1, 1, 2])[:, None]
    vectors = F.normalize(WEIGHT * means + IDS, dim=1)
    cosines = (vectors @ vectors.T).tolist()
    found = toys.similar(KEYS, k=9)
    assert len(found) == 5 * 4
    for row in found.iter_rows(named=True):
        one, other = KEYS.index(row["item"]), KEYS.index(row["similar"])
        assert row["score"] == pytest.approx(cosines[one][other], abs=1e-6)
    for key in KEYS:
        own = found.filter(pl.col("item") == key)
        row = cosines[KEYS.index(key)]
        others = [other for other in KEYS if other != key]
        expected = sorted(others, key=lambda k: (-round(row[KEYS.index(k)], 6), k))
        assert own["similar"].to_list() == expected
        assert own["rank"].to_list() == [1, 2, 3, 4]
    assert toys.similar(["e"], k=1).row(0)[1:3] == (1, "a")
    assert toys.similar([]).schema == found.schema


@pytest.mark.parametrize("model", [ToyChain(), ToyCounts()])
def test_without_vectors_similar_is_what_follows_the_item_alone(model: torch.nn.Module) -> None:
    toys = toy_recommender(model)
    found = toys.similar(KEYS, k=2)
    expected = toys.recommend([[key] for key in KEYS], k=2)
    assert found["similar"].to_list() == expected["item"].to_list()
    assert found["score"].to_list() == expected["score"].to_list()
    for ask in (lambda: toys.encode([["b"]]), toys.item_vectors):
        with pytest.raises(ValueError, match="follow from no vectors"):
            ask()


def test_vectors_of_users_and_items(toys: CatalogueRecommender) -> None:
    encoded = toys.encode([["b"], [], ["d", "10"]])
    assert encoded["history"].to_list() == [0, 2]
    assert encoded["vector"].to_list() == [[1, 0], [0, 1.5]]
    assert toys.encode([]).schema == encoded.schema
    items = toys.item_vectors()
    assert items["item"].to_list() == KEYS
    assert items.columns == ["item", "vector_text", "vector_image", "vector_id"]
    assert items["vector_id"].to_list() == IDS.tolist()
    assert items["vector_text"].null_count() == items["vector_image"].null_count() == 1
    assert items["vector_text"][3] is None
    some = toys.item_vectors(["a", "d"])
    assert some.equals(items[[4, 3]])


def test_an_explanation_adds_up(toys: CatalogueRecommender) -> None:
    history = ["d", "b", "e", "b"]  # the first is not read
    rows = toys.explain(history, "10")
    read = history[1:]
    parts = scored(read, "10")
    total = sum(parts.values())
    assert rows.row(0)[:4] == ("score", "10", "Toy 10", pytest.approx(total))
    told = rows.filter(pl.col("kind") == "part")
    assert dict(told.select("name", "value").rows()) == pytest.approx(parts)
    assert told["share"].sum() == pytest.approx(1)
    added = [
        total - sum(scored([*read[:place], *read[place + 1 :]], "10").values())
        for place in range(3)
    ]
    told = rows.filter(pl.col("kind") == "history")
    assert told["name"].to_list() == read
    assert told["title"].to_list() == [f"Toy {key}" for key in read]
    assert told["value"].to_list() == pytest.approx(added)


def test_an_explanation_of_one_item_alone_and_of_models_without_vectors() -> None:
    alone = toy_recommender().explain(["b"], "e").filter(pl.col("kind") == "history")
    assert alone.select("name", "value").rows() == [("b", None)]
    chain = toy_recommender(ToyChain()).explain(["b", "10"], "a")
    # from 10 (number 2) to a (number 4); without 10 from b (number 0)
    assert chain.select("kind", "name", "value").rows() == [
        ("score", "a", 2.0),
        ("history", "b", 0.0),
        ("history", "10", 2.0 - 4.0),
    ]
    counts = toy_recommender(ToyCounts()).explain(["b"], "a")
    assert counts.select("kind", "name", "value", "share").rows()[1] == ("part", "bias", 2.0, 1.0)


def test_what_cannot_be_explained_is_refused(toys: CatalogueRecommender) -> None:
    with pytest.raises(ValueError, match="item: 'x' is none of the items of toys"):
        toys.explain(["b"], "x")
    for nothing in ([], ["x"]):
        with pytest.raises(ValueError, match="history holds none of the items of toys"):
            toys.explain(nothing, "b")
    with pytest.raises(ValueError, match="history must be a list of keys"):
        toys.explain(None, "b")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ToyFusion finds no interests"):
        toys.interests()


def test_keys_must_be_texts_that_differ() -> None:
    for keys, message in [
        (pl.Series(["a", "b", "a"]), r"items of toys must differ, and 'a' occurs twice"),
        (pl.Series(["a", None, "b"]), r"items of toys must all be texts, found a null"),
        (pl.Series([1, 2, 3]), r"items of toys must all be texts, found Int64"),
    ]:
        with pytest.raises(ValueError, match=message):
            CatalogueItems(domain="toys", keys=keys, titles=keys)
    with pytest.raises(ValueError, match="3 items and 1 titles"):
        CatalogueItems(domain="toys", keys=pl.Series(["a", "b", "c"]), titles=pl.Series(["A"]))
    nobody = Histories(np.array([0]), np.array([0, 1]))
    with pytest.raises(ValueError, match="2 users and 1 histories"):
        CatalogueUsers(domain="toys", keys=pl.Series(["u", "v"]), histories=nobody)


@pytest.mark.parametrize("model", [ToyFusion(), ToyChain()])
def test_items_that_the_model_knows_nothing_of_are_as_if_they_were_not_there(
    model: torch.nn.Module,
) -> None:
    known = [True, False, True, False, True]  # b, 10, a
    nobody = CatalogueUsers(
        domain="toys",
        keys=pl.Series(["u", "v"]),
        histories=Histories(np.array([2]), np.array([0, 1, 1])),
    )
    some = toy_recommender(model, items=toy_items(known), users=nobody)
    whole = toy_recommender(model)
    among = [key for key, is_known in zip(KEYS, known, strict=True) if is_known]
    expected = whole.recommend([["b"], ["10"]], k=5, allow=among)
    assert some.recommend([["b"], ["d", "10", "e"]], k=5).equals(expected)
    assert some.unknown([["d", "10", "e"]])["item"].to_list() == ["d", "e"]
    assert some.items["item"].to_list() == among
    users = some.recommend_users(k=1)  # one of them has had nothing that is known
    assert users.select("user", "item").rows() == [
        ("u", whole.recommend([["a"]], k=1, allow=among)["item"][0])
    ]
    assert some.explain(["b", "10"], "a").equals(whole.explain(["b", "10"], "a"))


def test_threads_get_what_one_gets_alone() -> None:
    toys = toy_recommender()
    asked = [[KEYS[(place + step) % 5] for step in range(place % 3 + 1)] for place in range(40)]

    def answer(history: list[str]) -> Rows:
        return [
            *toys.recommend([history], k=3).rows(),
            *toys.similar(history, k=2).rows(),
            *toys.explain(history, "b").rows(),
        ]

    alone = [answer(history) for history in asked]
    toys = toy_recommender()  # nothing is made yet
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, asked)) == alone


def test_the_model_is_set_to_evaluation_and_stays_as_it_is() -> None:
    model = ToyFusion().train()
    toys = toy_recommender(model)
    assert not model.training
    toys.recommend([["b"]])
    assert torch.is_grad_enabled()
    assert FIRST_ID > 1  # items of another domain stand before these


@pytest.mark.parametrize("words", ["faiss", "faiss:Flat", "faiss:HNSW8", "auto"])
def test_whatever_index_finds_them_the_answers_are_the_same(words: str) -> None:
    toys, exact = toy_recommender(index=named_index(words)), toy_recommender()
    assert toys.recommend(HISTORIES, k=3).equals(exact.recommend(HISTORIES, k=3))
    assert toys.similar(KEYS, k=2).equals(exact.similar(KEYS, k=2))


def test_faiss_finds_the_best_of_a_small_catalogue() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, users = (torch.randn(size, 16, generator=generator) for size in (600, 40))
    present = torch.ones(1, len(tokens), dtype=torch.bool)
    vectors = ItemVectors(("text",), tokens[None], present, torch.ones(()), 1.0, None, None)
    table = ItemTable(vectors, key_ranks=torch.arange(len(tokens)))
    found = named_index("faiss")(table).top_k(users, k=10, wanted=Wanted())
    expected = (users.double() @ tokens.double().T).topk(10).indices
    assert found.items.tolist() == expected.tolist()


@pytest.mark.parametrize("words", ["faiss:IVF1000,Flat", "faiss:Nonsense", "faiss:IDMap,Flat"])
def test_what_faiss_cannot_make_is_told_in_one_line(words: str) -> None:
    with pytest.raises(ValueError, match=words.partition(":")[2]) as told:
        toy_recommender(index=named_index(words))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("words", [None, 3, "ivf"])
def test_an_index_that_there_is_not_is_refused(words: Any) -> None:
    with pytest.raises(ValueError, match=rf"index \({words}\) must be exact, faiss"):
        named_index(words)


def test_milvus_is_asked_at_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def opened(table: ItemTable, *, uri: str) -> FaissIndex:
        asked.append(uri)
        return FaissIndex.build(table, description="Flat")

    monkeypatch.setattr(MilvusIndex, "open", opened)
    toys = toy_recommender(index=named_index("milvus:http://milvus:19530"))
    assert toys.recommend(HISTORIES).equals(toy_recommender().recommend(HISTORIES))
    assert asked == ["http://milvus:19530"]
