from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from missrec.serving.app import create_app
from missrec.serving.keys import ApiKeys
from missrec.serving.settings import ServiceSettings
from serving.toy_explorer import (
    MARKUP,
    PATHS,
    marked_recommender,
    toy_explorer,
    toys_with_interests,
)
from toy_service import KEY

PAGE = files("missrec.serving").joinpath("page")


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    recommender = toys_with_interests()
    explorer = toy_explorer(tmp_path_factory.mktemp("toys"), recommender)
    app = create_app(recommender, ServiceSettings(batch_sec=0.0), explorer=explorer)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    recommender = marked_recommender()
    explorer = toy_explorer(tmp_path_factory.mktemp("marked"), recommender, PATHS)
    app = create_app(recommender, ServiceSettings(batch_sec=0.0), explorer=explorer)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_the_page_loads_nothing_from_elsewhere_and_its_files_are_there(
    explored: TestClient,
) -> None:
    answer = explored.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    addresses = _addresses(answer.text)
    assert len(addresses) > 5
    for address in addresses:
        assert address.startswith(("#", "/explorer/page/"))
        if address.startswith("/"):
            found = explored.get(address)
            assert found.status_code == 200
            assert found.headers["x-content-type-options"] == "nosniff"


def _addresses(page: str) -> list[str]:
    found: list[str] = []

    class Addresses(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for name, value in attrs if name in {"src", "href", "action"})
            assert not any(name == "style" or name.startswith("on") for name, _ in attrs)

    Addresses().feed(page)
    return found


@pytest.mark.parametrize("file", [file for file in PAGE.iterdir() if file.name.endswith(".js")])
def test_no_script_makes_markup_of_a_text(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_file_that_has_not_changed_is_not_sent_again(explored: TestClient) -> None:
    first = explored.get("/explorer/page/main.js")
    again = explored.get("/explorer/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/explorer/page/",
        "/explorer/page/main.py",
        "/explorer/page/..%2fexplorer.py",
        "/explorer/page/%2e%2e%2f%2e%2e%2fapp.py",
        "/explorer/page/page%2fmain.js",
        "/explorer/page/main.js%00",
        "/explorer/",
        "/favicon.ico",
    ],
)
def test_no_other_file_is_given(explored: TestClient, path: str) -> None:
    assert explored.get(path).status_code == 404


def test_a_picture_is_given_for_an_item_that_has_one(explored: TestClient) -> None:
    answer = explored.get("/explorer/api/picture", params={"item": "b"})
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    "key",
    [
        "10",  # its picture is outside
        "a",  # has none
        "x",
        "",
        "0.png",
        "../outside.png",
        "..%2foutside.png",
        "/etc/hostname",
        "images/0.png",
        "\0",
    ],
)
def test_of_others_and_of_paths_there_is_no_picture(explored: TestClient, key: str) -> None:
    answer = explored.get("/explorer/api/picture", params={"item": key})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", ["../outside.png", "b", "..%2f..%2foutside.png", "%2fetc"])
def test_a_picture_is_at_no_path(explored: TestClient, path: str) -> None:
    assert explored.get(f"/explorer/api/picture/{path}").status_code == 404


def test_keys_like_paths_and_titles_like_markup_come_as_they_are(marked: TestClient) -> None:
    found = marked.get("/explorer/api/items").json()["items"]
    assert [one["item"] for one in found] == PATHS
    assert [one["title"] for one in found] == MARKUP
    for number, key in enumerate(PATHS):
        answer = marked.get(f"/explorer/api/picture?item={quote(key, safe='')}")
        assert answer.status_code == (200 if number < 2 else 404)
        similar = marked.get("/explorer/api/similar", params={"item": key})
        assert similar.json()["title"] == MARKUP[number]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "user?user=nobody", None, 404),
        ("GET", "user", None, 422),
        ("GET", "similar?item=x", None, 404),
        ("GET", "similar?item=b&k=0", None, 422),
        ("GET", "interest?number=99", None, 404),
        ("GET", "interest?number=99999999999999999999", None, 422),
        ("GET", "interest?number=-1", None, 422),
        ("GET", f"items?text={'x' * 201}", None, 422),
        ("GET", "items?limit=1000", None, 422),
        ("POST", "recommend", {}, 422),
        ("POST", "recommend", {"history": "b"}, 422),
        ("POST", "recommend", {"history": [1]}, 422),
        ("POST", "recommend", {"history": ["b"], "k": True}, 422),
        ("POST", "recommend", {"history": ["b"] * 1001}, 422),
        ("POST", "recommend", {"history": ["b"], "without": ["sound"]}, 422),
        ("POST", "recommend", {"history": ["b"], "without": ["text", "image", "id"]}, 422),
        ("POST", "recommend", {"history": ["b"], "sort": "x"}, 422),
        ("POST", "recommend", {"history": ["\ud800"]}, 422),
        ("POST", "explain", {"history": ["b"]}, 422),
        ("POST", "explain", {"history": ["b"], "item": "x"}, 422),
        ("POST", "explain", {"history": [], "item": "b"}, 422),
        ("GET", "recommend", None, 405),
        ("GET", "nothing", None, 404),
    ],
)
def test_wrong_questions_are_refused_in_the_shape_of_the_service(
    explored: TestClient, method: str, path: str, body: Any, status: int
) -> None:
    content = None if body is None else json.dumps(body)  # which spells surrogates
    headers = {"content-type": "application/json"}
    answer = explored.request(method, f"/explorer/api/{path}", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_questions_are_answered(explored: TestClient) -> None:
    about = explored.get("/explorer/api/about").json()
    assert (about["items"], about["model"]) == (5, "unnamed")
    body = {"history": ["b", "e"], "k": 2, "without": ["id"]}
    found = explored.post("/explorer/api/recommend", json=body).json()
    assert [list(one["shares"]) for one in found["items"]] == [["text", "image"]] * 2
    assert explored.get("/explorer/api/interests").json()["total"] == 3
    assert explored.get("/explorer/api/users?text=bo").json()["users"] == ["bob"]


def test_the_page_is_public_and_what_it_asks_for_needs_a_key(tmp_path: Path) -> None:
    recommender = toys_with_interests()
    settings = ServiceSettings(batch_sec=0.0, keys=ApiKeys([KEY]))
    app = create_app(recommender, settings, explorer=toy_explorer(tmp_path, recommender))
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 200
        for path in ("about", "items", "user?user=ann", "picture?item=b", "interests"):
            assert client.get(f"/explorer/api/{path}").status_code == 401
            keyed = client.get(f"/explorer/api/{path}", headers={"Authorization": f"Bearer {KEY}"})
            assert keyed.status_code == 200


def test_what_the_page_asks_for_is_no_part_of_the_documented_service(
    explored: TestClient,
) -> None:
    paths = explored.get("/openapi.json").json()["paths"]
    assert not any(path == "/" or path.startswith("/explorer") for path in paths)
