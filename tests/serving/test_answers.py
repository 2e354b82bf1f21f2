"""What the routes of /v1 answer is what the recommender says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient

from toy_recommender import KEYS, USERS, ToyChain, ToyCounts, scored, toy_recommender
from toy_service import VERSION, service


def best(history: Sequence[str], items: Sequence[str]) -> list[str]:
    return sorted(items, key=lambda key: (-round(sum(scored(history, key).values()), 9), key))


def ask(client: TestClient, route: str, **body: Any) -> Any:
    answer = client.post(f"/v1/{route}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == VERSION._asdict()
    return answer.json()


@pytest.mark.parametrize("history", [["b"], ["b", "e"], ["10", "d"], ["a", "e", "d"]])
def test_a_history_gets_the_best_others_with_scores_and_shares(
    client: TestClient, history: list[str]
) -> None:
    answer = ask(client, "recommend", history=history, k=2)
    others = [key for key in KEYS if key not in history]
    assert [row["item"] for row in answer["items"]] == best(history, others)[:2]
    for rank, row in enumerate(answer["items"], 1):
        parts = scored(history, row["item"])
        assert row["rank"] == rank
        assert row["title"] == f"Toy {row['item']}"
        assert row["score"] == pytest.approx(sum(parts.values()))
        sizes = sum(map(abs, parts.values()))
        assert row["shares"] == pytest.approx({k: abs(v) / sizes for k, v in parts.items()})
    assert answer["lists"] == {}
    assert answer["unknown_items"] == []


@pytest.mark.parametrize(("user", "history"), USERS.items())
def test_a_user_gets_what_the_history_of_the_user_gets(
    client: TestClient, user: str, history: list[str]
) -> None:
    of_user = ask(client, "recommend", user=user)
    assert of_user == ask(client, "recommend", history=history)
    assert len(of_user["items"]) == len(set(KEYS) - set(history))


@pytest.mark.parametrize(
    ("asked", "items"),
    [
        ({"exclude_seen": False}, KEYS),
        ({"allow": ["a", "d"]}, ["a", "d"]),
        ({"allow": ["a", "d", "b"]}, ["a", "d"]),
        ({"allow": []}, []),
        ({"block": ["a", "d"]}, ["e", "10"]),
        ({"block": []}, ["a", "d", "e", "10"]),
        ({"allow": ["a", "d"], "block": ["a"]}, ["d"]),
        ({"allow": ["b"], "exclude_seen": False}, ["b"]),
    ],
)
def test_only_what_may_come_comes(
    client: TestClient, asked: dict[str, Any], items: list[str]
) -> None:
    answer = ask(client, "recommend", history=["b"], **asked)
    assert [row["item"] for row in answer["items"]] == best(["b"], items)


def test_each_list_has_its_own_answer(client: TestClient) -> None:
    lists = {"new": ["a", "d", "e"], "old": ["10", "b"], "none": [], "unknown": ["zz"]}
    answer = ask(client, "recommend", history=["b"], k=2, lists=lists, block=["d"])
    assert answer["items"] == []
    found = {name: [row["item"] for row in rows] for name, rows in answer["lists"].items()}
    assert found == {"new": best(["b"], ["a", "e"]), "old": ["10"], "none": [], "unknown": []}
    assert [row["rank"] for row in answer["lists"]["new"]] == [1, 2]
    assert answer["unknown_items"] == ["zz"]


@pytest.mark.parametrize(
    ("asked", "unknown"),
    [
        ({"history": ["b", "zz", "yy", "zz"]}, ["zz", "yy"]),
        ({"history": ["b"], "allow": ["a", "zz"]}, ["zz"]),
        ({"history": ["b"], "block": ["zz"]}, ["zz"]),
        ({"history": ["b", "yy"], "lists": {"new": ["zz", "a"]}}, ["yy", "zz"]),
        ({"history": ["../../etc/passwd", "b"]}, ["../../etc/passwd"]),
        ({"history": ["<b>b</b>", ""]}, ["<b>b</b>", ""]),
        ({"history": []}, []),
    ],
)
def test_unknown_items_are_named(
    client: TestClient, asked: dict[str, Any], unknown: list[str]
) -> None:
    answer = ask(client, "recommend", **asked)
    assert answer["unknown_items"] == unknown
    known = [key for key in asked["history"] if key in KEYS]
    assert bool(answer["items"] or answer["lists"]) == bool(known)


def test_similar_items_are_those_of_the_recommender(client: TestClient) -> None:
    answer = ask(client, "similar", items=["e", "zz", "b", "e"], k=3)
    assert [one["item"] for one in answer["items"]] == ["e", "b"]
    assert answer["items"][0]["similar"][0]["item"] == "a"
    assert answer["items"][0]["similar"][0]["score"] == pytest.approx(1)
    expected = toy_recommender().similar(["e", "b"], k=3)
    found = [
        (one["item"], row["rank"], row["item"], row["score"])
        for one in answer["items"]
        for row in one["similar"]
    ]
    assert found == expected.rows()
    assert answer["unknown_items"] == ["zz"]


def test_an_item_has_a_title_and_no_interests_where_the_model_has_none(client: TestClient) -> None:
    answer = client.get("/v1/items/10")
    assert answer.status_code == 200
    expected = {"item": "10", "title": "Toy 10", "interests": [], "version": VERSION._asdict()}
    assert answer.json() == expected


def test_reasons_add_up_to_the_score(client: TestClient) -> None:
    answer = ask(client, "explain", history=["b", "zz", "e"], item="d")
    parts = scored(["b", "e"], "d")
    assert answer["score"] == pytest.approx(sum(parts.values()))
    assert {one["part"]: one["value"] for one in answer["parts"]} == pytest.approx(parts)
    assert sum(one["share"] for one in answer["parts"]) == pytest.approx(1)
    rest = [sum(scored([other], "d").values()) for other in ("e", "b")]
    expected = [answer["score"] - without for without in rest]
    assert [one["item"] for one in answer["history"]] == ["b", "e"]
    assert [one["value"] for one in answer["history"]] == pytest.approx(expected)
    assert answer["interests"] == []
    assert answer["unknown_items"] == ["zz"]
    assert ask(client, "explain", user="7", item="d")["history"][0]["item"] == "10"


@pytest.mark.parametrize("model", [ToyCounts, ToyChain])
def test_models_of_other_kinds_are_served_too(model: type) -> None:
    with service(toy_recommender(model())) as client:
        answer = ask(client, "recommend", history=["b"], k=3)
        expected = toy_recommender(model()).recommend([["b"]], k=3)
        assert [row["item"] for row in answer["items"]] == expected["item"].to_list()
        assert [row["score"] for row in answer["items"]] == expected["score"].to_list()
        assert ask(client, "explain", history=["b"], item="a")["item"] == "a"
        assert ask(client, "similar", items=["a"])["items"][0]["similar"]
        missing = client.get("/v1/interests")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "no_interests")
