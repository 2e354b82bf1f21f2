"""Wrong input is answered by a 4xx that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from toy_service import service

LIMITS = {
    "max_body_bytes": 2_000,
    "max_history": 3,
    "max_k": 20,
    "max_listed": 2,
    "max_lists": 2,
    "max_items": 2,
}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with service(**LIMITS) as client:
        yield client


def refused(answer: Any, status: int, code: str, *said: str) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert "\n" not in error["message"]
    for words in said:
        assert words in error["message"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        *(("k", value, "valid integer") for value in (True, "5", "ten", 2.5, None, [5], {}, [])),
        *(("k", value, "greater than or equal to 1") for value in (0, -1, -(10**30))),
        *(("k", value, "the 20 that it may be") for value in (21, 10**9, 10**30)),
        *(("history", value, "valid list") for value in ("b", 5, {"b": 1}, True)),
        *(("history", [value], "valid string") for value in (1, 1.5, True, None, ["b"], {})),
        ("history", ["b"] * 4, "has 4 items, and 3 is the most"),
        ("exclude_seen", "no", "valid boolean"),
        ("exclude_seen", 0, "valid boolean"),
        ("exclude_seen", None, "valid boolean"),
        ("allow", "b", "valid list"),
        ("allow", ["a", "b", "d"], "body.allow has 3 keys, and 2 is the most"),
        ("block", [1], "valid string"),
        ("block", ["a", "b", "d"], "body.block has 3 keys, and 2 is the most"),
        ("lists", ["b"], "valid dictionary"),
        ("lists", {"new": "b"}, "valid list"),
        ("lists", {}, "at least 1 item"),
        ("lists", {"new": [5]}, "valid string"),
        ("lists", {"new": ["a", "b", "d"]}, "body.lists.new has 3 keys, and 2 is the most"),
        ("lists", {"a": [], "b": [], "c": []}, "has 3 lists, and 2 is the most"),
        ("K", 5, "body.K: Extra inputs are not permitted, not 5"),
        ("exclude_sean", True, "Extra inputs are not permitted"),
        ("user", "ann", "either `user` or `history`"),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, field: str, value: Any, said: str) -> None:
    answer = client.post("/v1/recommend", json={"history": ["b"], field: value})
    code = "limit_exceeded" if "the most" in said or "may be" in said else "invalid_request"
    refused(answer, 422, code, said, "body")


@pytest.mark.parametrize(
    ("route", "body", "said"),
    [
        ("recommend", {}, "either `user` or `history`"),
        ("recommend", {"user": None}, "either `user` or `history`"),
        ("recommend", {"user": 7}, "body.user: Input should be a valid string, not 7"),
        ("recommend", [], "valid dictionary"),
        ("recommend", "text", "valid dictionary"),
        ("recommend", None, "body: "),
        ("similar", {"items": []}, "at least 1 item"),
        ("similar", {"items": ["a", "b", "d"]}, "body.items has 3 keys, and 2 is the most"),
        ("similar", {"items": ["a"], "k": 21}, "body.k is more than the 20"),
        ("similar", {"items": ["a"], "k": True}, "valid integer, not True"),
        ("similar", {"items": ["a"], "user": "ann"}, "Extra inputs"),
        ("explain", {"history": ["b"]}, "body.item: Field required"),
        ("explain", {"item": "a"}, "either `user` or `history`"),
        ("explain", {"item": 10, "history": ["b"]}, "valid string, not 10"),
        ("explain", {"item": "a", "history": ["b"] * 4}, "has 4 items"),
    ],
)
def test_a_wrong_body_is_refused(client: TestClient, route: str, body: Any, said: str) -> None:
    answer = client.post(f"/v1/{route}", json=body)
    code = "limit_exceeded" if "has" in said or "more" in said else "invalid_request"
    refused(answer, 422, code, said)


@pytest.mark.parametrize(
    ("route", "body", "told"),
    [
        ("recommend", {"history": [1] * 500}, 1),
        ("recommend", {"history": [], "allow": [1] * 500, "block": [1] * 500}, 2),
        ("recommend", {"history": [], "lists": {"new": [1] * 500, "sale": [1] * 500}}, 2),
        ("recommend", {"history": [], "lists": {f"{n}": 1 for n in range(1_001)}}, 1),
        ("recommend", {"history": [], **{f"{n}": 1 for n in range(1_001)}}, 1),
        ("similar", {"items": [1] * 500}, 1),
        ("similar", {f"{n}": 1 for n in range(1_001)}, 1),
        ("explain", {"item": "a", "history": [1] * 500}, 1),
    ],
)
def test_what_is_wrong_a_thousand_times_is_told_once(
    route: str, body: dict[str, Any], told: int
) -> None:
    with service() as client:
        answer = client.post(f"/v1/{route}", json=body)
        assert answer.status_code == 422
        assert len(answer.json()["error"]["details"]) == told


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400])
def test_what_is_no_number_is_refused(client: TestClient, number: str) -> None:
    body = f'{{"history": ["b"], "k": {number}}}'
    answer = client.post(
        "/v1/recommend", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert "body.k" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"history": ["\xed\xa0\x80"]}',
        b'{"history": ["b"]} more',
        b"[" * 1_900,
        b'{"k": ' + b"1" * 1_900 + b"}",
        b"\x00",
    ],
)
def test_what_is_no_json_is_refused(client: TestClient, content: bytes) -> None:
    answer = client.post(
        "/v1/recommend", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code in {400, 422}
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        '{"history": ["\\ud800"]}',
        '{"user": "\\udfff"}',
        '{"history": ["b"], "\\ud800": 1}',
        '{"history": ["b"], "lists": {"\\ud800": ["b"]}}',
    ],
)
def test_text_that_is_no_unicode_is_refused(client: TestClient, body: str) -> None:
    answer = client.post(
        "/v1/recommend", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_that_is_not_said_to_be_json_is_refused(
    client: TestClient, kind: str | None
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post("/v1/recommend", content=b'{"history": ["b"]}', headers=headers)
    assert answer.status_code == 422


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_body_that_is_too_large_is_refused(client: TestClient, in_parts: bool) -> None:
    content = json.dumps({"history": ["b" * 3_000]}).encode()
    parts = (content[start : start + 500] for start in range(0, len(content), 500))
    answer = client.post(
        "/v1/recommend",
        content=parts if in_parts else content,
        headers={"content-type": "application/json"},
    )
    refused(answer, 413, "body_too_large", "2,000 bytes")


@pytest.mark.parametrize(
    ("route", "body", "code", "said"),
    [
        ("recommend", {"user": "eve"}, "unknown_user", "'eve'"),
        ("recommend", {"user": ""}, "unknown_user", "''"),
        ("explain", {"user": "eve", "item": "a"}, "unknown_user", "'eve'"),
        ("explain", {"history": ["b"], "item": "zz"}, "unknown_item", "'zz'"),
    ],
)
def test_whom_nobody_knows_is_named(
    client: TestClient, route: str, body: Any, code: str, said: str
) -> None:
    refused(client.post(f"/v1/{route}", json=body), 404, code, said)


@pytest.mark.parametrize("history", [[], ["zz"], ["zz", "yy"]])
def test_nothing_can_be_explained_without_a_known_item(
    client: TestClient, history: list[str]
) -> None:
    answer = client.post("/v1/explain", json={"history": history, "item": "a"})
    refused(answer, 422, "no_known_item", "no item that is known", *map(repr, history))


@pytest.mark.parametrize(
    "key", ["zz", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "a%2Fb", "%3Cb%3E", "%ED%A0%80"]
)
def test_an_item_that_nobody_knows_is_a_404(client: TestClient, key: str) -> None:
    answer = client.get(f"/v1/items/{key}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "query.limit"),
        ("limit=ten", "query.limit"),
        ("limit=NaN", "query.limit"),
        ("limit=1001", "query.limit"),
        ("offset=-1", "query.offset"),
        ("members=101", "query.members"),
        ("more=1", "query.more: Extra inputs"),
    ],
)
def test_a_wrong_query_is_named(client: TestClient, query: str, said: str) -> None:
    refused(client.get(f"/v1/interests?{query}"), 422, "invalid_request", said)


@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("GET", "/v1/recommend", 405),
        ("PUT", "/v1/similar", 405),
        ("POST", "/healthz", 405),
        ("GET", "/v2/recommend", 404),
        ("GET", "/docs", 404),
    ],
)
def test_routes_that_there_are_not_are_refused_in_the_same_shape(
    client: TestClient, method: str, route: str, status: int
) -> None:
    answer = client.request(method, route)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] in {"not_found", "method_not_allowed"}


def test_all_that_is_wrong_is_listed(client: TestClient) -> None:
    answer = client.post("/v1/recommend", json={"history": ["b"], "k": "5", "block": 3})
    refused(answer, 422, "invalid_request", "body.k", "1 more")
    details = answer.json()["error"]["details"]
    assert [one["where"] for one in details] == ["body.k", "body.block"]
