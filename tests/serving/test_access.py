"""Keys, hosts, and what is open to anyone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from missrec.serving.keys import ApiKeys
from toy_service import KEY, service

ROUTES = [
    ("POST", "/v1/recommend"),
    ("POST", "/v1/similar"),
    ("POST", "/v1/explain"),
    ("GET", "/v1/items/a"),
    ("GET", "/v1/interests"),
    ("GET", "/metrics"),
    ("POST", "/admin/reload"),
]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with service(with_keys=True) as client:
        yield client


@pytest.mark.parametrize(("method", "route"), ROUTES)
@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY],
)
def test_nothing_is_answered_without_a_key(
    client: TestClient, method: str, route: str, header: str | None
) -> None:
    headers = {} if header is None else {"authorization": header}
    answer = client.request(method, route, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "unauthorized"
    assert KEY not in answer.text


def test_a_key_opens(client: TestClient) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    body = {"history": ["b"]}
    assert client.post("/v1/recommend", json=body, headers=headers).status_code == 200
    assert client.get("/metrics", headers=headers).status_code == 200


@pytest.mark.parametrize("route", ["/healthz", "/readyz", "/openapi.json"])
def test_health_needs_no_key(client: TestClient, route: str) -> None:
    assert client.get(route).status_code == 200


def test_a_service_without_keys_reloads_for_nobody() -> None:
    with service() as client:
        answer = client.post("/admin/reload", headers={"authorization": f"Bearer {KEY}"})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "needs_keys"


def test_a_file_of_keys_has_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(
        "# of the shop\n\n  #of-the-shop-too-\r\n0123456789abcdef\n  fedcba9876543210  \r\n"
    )
    keys = ApiKeys.read(path)
    assert all(map(keys.hold, ("0123456789abcdef", "fedcba9876543210")))
    assert not any(
        map(
            keys.hold,
            ("", "# of the shop", "#of-the-shop-too-", "0123456789abcde", "0123456789ABCDEF"),
        )
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no key; write one a line"),
        (b"# only this\n\n", "holds no key"),
        (b"0123456789abcdef\nshort\n", "line 2: a key has at least 16 .* this one has 5"),
        (b"0123456789 abcdef\n", "line 1: .* no space"),
        (b"0123456789abc\tdef\n", "line 1: .* printable"),
        (b"0123456789abcd\xc3\xa9f\n", "keys are ASCII, found byte 0xc3"),
    ],
)
def test_a_file_without_a_good_key_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        ApiKeys.read(path)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:8000", 200),
        ("[::1]", 200),
        ("evil.example", 400),
        ("localhost.evil.example:8000", 400),
        ("localhost:8000:9", 400),
        ("", 400),
    ],
)
def test_only_known_hosts_are_answered(host: str, status: int) -> None:
    with service(allowed_hosts=("localhost", "127.0.0.1", "[::1]")) as client:
        answer = client.get("/readyz", headers={"host": host})
        assert answer.status_code == status
        assert status == 200 or answer.json()["error"]["code"] == "unknown_host"
