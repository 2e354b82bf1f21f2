from __future__ import annotations

from pathlib import Path

import pytest

from missrec.serving.exploring import Explorer
from serving.toy_explorer import EPOCHS, toy_explorer, toys_with_interests
from toy_recommender import KEYS, ToyChain, ToyCounts, scored, toy_recommender


@pytest.fixture
def explorer(tmp_path: Path) -> Explorer:
    return toy_explorer(tmp_path, toys_with_interests())


def card(key: str) -> dict[str, object]:
    return {"item": key, "title": f"Toy {key}", "picture": key in KEYS[:3]}


def test_about_counts_what_there_is(explorer: Explorer) -> None:
    assert explorer.about() == {
        "items": 5,
        "users": 3,
        "pictures": 3,
        "parts": ["text", "image", "id"],
        "modalities": ["text", "image"],
        "interests": 3,
    }


@pytest.mark.parametrize(
    ("model", "parts"), [(ToyChain, []), (ToyCounts, ["bias"])], ids=["no vectors", "no users"]
)
def test_models_without_interests_are_explored_too(model: type, parts: list[str]) -> None:
    explorer = Explorer(toy_recommender(model()))
    about = explorer.about()
    assert (about["parts"], about["interests"], about["modalities"]) == (parts, 0, [])
    found = explorer.recommend(["b"], k=2)["items"]
    assert [list(one["shares"]) for one in found] == [parts, parts]
    assert explorer.explain(["b", "e"], "d")["interests"] == []
    with pytest.raises(KeyError):
        explorer.interests()
    with pytest.raises(KeyError):
        explorer.interest(0, limit=3)


def test_items_are_found_by_title_and_by_key(explorer: Explorer) -> None:
    assert explorer.find_items("toy 10", limit=5) == {"items": [card("10")], "total": 1}
    assert explorer.find_items("", limit=2) == {"items": [card("b"), card("e")], "total": 5}


def test_users_are_found_by_key(explorer: Explorer) -> None:
    assert explorer.find_users("B", limit=5) == {"users": ["bob"], "total": 1}


def test_of_a_user_the_last_item_is_told_apart(explorer: Explorer) -> None:
    assert explorer.user("ann") == {
        "user": "ann",
        "history": [card("b"), card("e")],
        "next": card("b"),
        "earlier": 0,
    }
    alone = explorer.user("7")
    assert (alone["history"], alone["next"]) == ([card("10")], None)
    with pytest.raises(KeyError, match="nobody"):
        explorer.user("nobody")


def test_recommendations_have_scores_and_shares(explorer: Explorer) -> None:
    found = explorer.recommend(["b", "10"], k=1)
    (best,) = found["items"]
    parts = scored(["b", "10"], best["item"])
    assert best["score"] == pytest.approx(sum(parts.values()))
    sizes = sum(map(abs, parts.values()))
    assert best["shares"] == pytest.approx({name: abs(v) / sizes for name, v in parts.items()})
    assert found["unknown"] == []
    assert found["measures"]["mean_popularity"] == 6 / 5
    assert explorer.recommend([], k=1)["measures"] == {}


def test_parts_that_are_left_out_have_no_share(explorer: Explorer) -> None:
    for _ in range(2):  # made, and kept
        (best,) = explorer.recommend(["b"], k=1, without=["id", "text"])["items"]
        assert best["shares"] == {"image": 1.0}
    reasons = explorer.explain(["b"], "e", without=["id"])
    assert [part["name"] for part in reasons["parts"]] == ["text", "image"]
    with pytest.raises(ValueError, match="'sound' is no part"):
        explorer.recommend(["b"], k=1, without=["sound"])


@pytest.mark.parametrize("history", [[], ["x"], ["x", "y"]])
def test_a_history_of_nothing_known_gets_nothing(explorer: Explorer, history: list[str]) -> None:
    assert explorer.recommend(history, k=3) == {"items": [], "unknown": history, "measures": {}}


def test_unknown_items_of_a_history_are_named(explorer: Explorer) -> None:
    found = explorer.recommend(["b", "x"], k=3)
    assert found["unknown"] == ["x"]
    assert found["items"] == explorer.recommend(["b"], k=3)["items"]


def test_reasons_tell_parts_history_and_interests(explorer: Explorer) -> None:
    found = explorer.explain(["b", "e"], "a")
    assert found["score"] == pytest.approx(sum(part["value"] for part in found["parts"]))
    assert [row["item"] for row in found["history"]] == ["b", "e"]
    without_b = explorer.explain(["e"], "a")["score"]
    assert found["history"][0]["value"] == pytest.approx(found["score"] - without_b)
    near = {row["name"]: row["value"] for row in found["interests"]}
    assert near == pytest.approx({"0": 1.0, "1": 1.0})


def test_similar_items_are_cards_with_scores(explorer: Explorer) -> None:
    found = explorer.similar("e", k=2)
    assert found["similar"][0] == card("a") | {"score": pytest.approx(1.0)}
    with pytest.raises(KeyError, match="x"):
        explorer.similar("x", k=2)


def test_interests_are_points_with_shares_and_the_epochs(explorer: Explorer) -> None:
    found = explorer.interests()
    assert [point["interest"] for point in found["interests"]] == [1, 0, 2]
    assert found["interests"][0]["shares"] == {"text": 0.75, "image": 0.25}
    assert {"x", "y", "size", "item", "title"} <= found["interests"][0].keys()
    assert (found["total"], found["epochs"]) == (3, EPOCHS)
    assert [(one["epoch"], len(one["interests"])) for one in found["maps"]] == [(0, 2), (1, 1)]
    assert found["maps"][0]["interests"][1] == {
        "interest": 0,
        "size": 3,
        "x": 1.0,
        "y": -1.0,
        "shares": {"text": 0.0, "image": 1.0},
    }


def test_where_no_epoch_was_noted_the_map_is_that_of_the_tested_model() -> None:
    found = Explorer(toys_with_interests()).interests()
    assert (found["epochs"], found["maps"], len(found["interests"])) == ([], [], 3)


def test_an_interest_names_its_items_once_with_their_modalities(explorer: Explorer) -> None:
    found = explorer.interest(1, limit=2)
    assert (found["size"], found["total"], len(found["items"])) == (4, 4, 2)
    assert found["items"][0] == card("a") | {"modalities": ["text"]}
    of_zero = explorer.interest(0, limit=9)["items"]
    assert {one["item"]: one["modalities"] for one in of_zero} == {
        "a": ["image"],
        "b": ["text"],
        "e": ["image"],
    }
    with pytest.raises(KeyError, match="7"):
        explorer.interest(7, limit=2)
