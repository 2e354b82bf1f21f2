"""What a stranger may send to the port: nothing of it keeps others from being answered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from missrec.serving.app import create_app
from missrec.serving.settings import ServiceSettings
from serving.chromium import served
from toy_recommender import HeldFusion, toy_recommender

HOST = b"Host: localhost\r\n"
POST = b"POST /v1/recommend HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
CLOSE = b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    settings = ServiceSettings(batch_sec=0.0, max_body_sec=0.2, max_body_bytes=1_000_000)
    with served(create_app(toy_recommender(), settings)) as at:
        yield at


def sent(address: str, content: bytes) -> bytes:
    """All that is answered until the service closes, or has nothing more to say for a while."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=1) as connection:
        connection.sendall(content)
        answered = b""
        try:
            while part := connection.recv(1 << 16):
                answered += part
        except TimeoutError:
            pass
        return answered


def statuses(answered: bytes) -> list[int]:
    lines = [line for line in answered.split(b"\r\n") if b"HTTP/1.1 " in line]
    return [int(line.partition(b"HTTP/1.1 ")[2].split()[0]) for line in lines]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nContent-Length: 5\r\n" + HOST + CLOSE + b"hello", 200),
        (b"OPTIONS /v1/recommend HTTP/1.1\r\n" + HOST + CLOSE, 405),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + CLOSE, 404),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 100_000, 400),
        (b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n" + HOST + CLOSE, 404),
        (b"GET /v1/items/a%00b HTTP/1.1\r\n" + HOST + CLOSE, 404),
        (b"GET /v1/items/a\0b HTTP/1.1\r\n" + HOST + CLOSE, 400),
        (b"GET /explorer/page/..%2f..%2fapp.py HTTP/1.1\r\n" + HOST + CLOSE, 404),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 99, 400),
        *((POST + b"Content-Length: " + n + b"\r\n\r\n", 400) for n in (b"-1", b"abc", b"9" * 30)),
        (POST + b"Content-Length: 9999999999\r\n\r\n", 413),
        (POST + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n{}", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", 400),
        (POST + b"Content-Length: 900000\r\n\r\n" + b"[" * 900_000, 400),
    ],
)
def test_what_is_wrong_with_a_request_is_a_4xx(address: str, content: bytes, expected: int) -> None:
    assert statuses(sent(address, content)) == [expected]
    assert httpx.get(f"{address}/healthz").status_code == 200


def test_several_requests_at_once_are_answered_in_their_order(address: str) -> None:
    paths = (b"/healthz", b"/v1/items/a", b"/nowhere")
    content = b"".join(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n" for path in paths)
    assert statuses(sent(address, content)) == [200, 200, 404]


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/healthz", 200), ("/v1/items/zz", 404), ("/v1/similar", 405)]
)
def test_head_is_answered_as_get_without_the_body(address: str, path: str, status: int) -> None:
    answered = sent(address, b"HEAD " + path.encode() + b" HTTP/1.1\r\n" + HOST + CLOSE)
    assert statuses(answered) == [status]
    head, _, body = answered.partition(b"\r\n\r\n")
    assert body == b""
    of_get = httpx.get(f"{address}{path}")
    assert f"content-length: {len(of_get.content)}".encode() in head


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_it_may_take(
    address: str,
) -> None:
    answered = sent(address, POST + b"Content-Length: 200\r\n\r\n{")
    assert statuses(answered) == [408]
    assert b"the body was not whole after 0.2 s" in answered


def test_a_request_that_has_begun_is_answered_when_the_service_ends() -> None:
    model = HeldFusion()
    app = create_app(toy_recommender(model), ServiceSettings(batch_sec=0.0))
    found: list[int] = []

    def ask(at: str) -> None:
        answer = httpx.post(f"{at}/v1/recommend", json={"history": ["b"]}, timeout=10)
        found.append(answer.status_code)

    with served(app) as at:
        thread = threading.Thread(target=ask, args=(at,))
        thread.start()
        assert model.entered.wait(10)
        threading.Timer(0.3, model.go_on.set).start()  # by then it has been told to end
    thread.join()
    assert found == [200]


def test_who_sends_nothing_more_keeps_nobody_waiting(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    halves = [b"POST /v1/recom", POST, POST + b"Content-Length: 200\r\n\r\n{"]
    waiting = [socket.create_connection((host, int(port))) for _ in range(30)]
    for number, connection in enumerate(waiting):
        connection.sendall(halves[number % 3])
    for _ in range(3):
        answer = httpx.post(f"{address}/v1/recommend", json={"history": ["b"]})
        assert answer.status_code == 200
    for connection in waiting:
        connection.close()
    assert httpx.get(f"{address}/readyz").status_code == 200
