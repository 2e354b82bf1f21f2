"""Every way in which a stranger's server can fail us, against a server that does."""

from __future__ import annotations

import gzip
import hashlib
import socket
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_server import (
    MAX_BYTES,
    Answer,
    ImageServer,
    answer,
    dropped,
    huge_png,
    image_bytes,
    image_fetcher,
    in_chunks,
    in_turn,
    unmeasured,
)
from missrec.features.images import addresses
from missrec.features.images.fetching import Fetched, ImageFetcher

PNG = image_bytes("PNG")
JPEG = image_bytes("JPEG", size=(64, 64))

AS_JPEG = {"Content-Type": "image/jpeg"}
PAGES = {
    "page with an SVG in it": b"<html><body><svg></svg>Login</body></html>",
    "page that begins with a comment": b"<!-- <svg --> <!doctype html><svg></svg>",
    "JSON with an SVG in it": b'{"icon": "<svg/>"}',
    "tag that begins like an SVG": b"<svgs>",
    "UTF-16 with its mark": "<html>Вход<svg/>".encode("utf-16"),
    "UTF-16 without": "<html>Вход".encode("utf-16-le"),
    "UTF-16, big end first": "\ufeff\n<html>".encode("utf-16-be"),
}
DRAWINGS = {
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "SVG with its mark": "\ufeff\n<SVG>".encode(),
    "SVG of XML": b'<?xml version="1.0"?>\n<!-- a --><!-- b -->\n<svg>',
    "SVG with a doctype": b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN">',
    "SVG of UTF-16": '<?xml version="1.0"?><svg/>'.encode("utf-16"),
}


def coded(body: bytes, coding: str, **options: Any) -> Answer:
    headers = {"Content-Encoding": coding, **options.pop("headers", {})}
    return answer(body, headers=headers, **options)


def fetch(urls: Sequence[str], folder: Path, **changes: Any) -> dict[str, Fetched]:
    found: dict[str, Fetched] = {}
    image_fetcher(**changes).fetch(
        urls, folder, done=lambda fetched: found.update({fetched.url: fetched})
    )
    return found


def outcome(server: ImageServer, folder: Path, path: str = "/a", **changes: Any) -> str:
    url = server.url + path
    return fetch([url], folder, **changes)[url].outcome


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_is_stored_as_it_came(server: ImageServer, tmp_path: Path, kind: str) -> None:
    content = image_bytes(kind)
    server.answers["/a"] = answer(content)
    (fetched,) = fetch([f"{server.url}/a"], tmp_path).values()
    assert fetched == Fetched(
        url=f"{server.url}/a",
        outcome="ok",
        file=fetched.file,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        width=8,
        height=6,
    )
    assert [path.name for path in tmp_path.iterdir()] == [fetched.file]
    assert (tmp_path / str(fetched.file)).read_bytes() == content


def test_the_url_does_not_choose_the_path(server: ImageServer, tmp_path: Path) -> None:
    server.answers["/../../x.png?y=/etc/passwd"] = answer(PNG)
    server.answers["/x.png?y=/etc/passwd"] = answer(PNG)
    folder = tmp_path / "images"
    folder.mkdir()
    assert outcome(server, folder, "/../../x.png?y=/etc/passwd") == "ok"
    assert [path.parent for path in tmp_path.rglob("*") if path.is_file()] == [folder]


@pytest.mark.parametrize(
    ("send", "expected", "requests"),
    [
        pytest.param(answer(status=404), "not_found", 1, id="404"),
        pytest.param(answer(status=410), "not_found", 1, id="410"),
        pytest.param(answer(status=403), "http_error", 1, id="403"),
        pytest.param(answer(status=503), "http_error", 2, id="503 is asked again"),
        pytest.param(in_turn(answer(status=503), answer(PNG)), "ok", 2, id="503, then well"),
        pytest.param(answer(PNG, status=202), "http_error", 1, id="202, even with an image"),
        pytest.param(answer(status=204), "http_error", 1, id="204"),
        pytest.param(answer(PNG, status=203), "http_error", 1, id="203, changed on the way"),
        pytest.param(answer(PNG, status=206), "http_error", 1, id="206, a part"),
        pytest.param(
            answer(b"<html></html>", headers={"Content-Type": "image/jpeg"}),
            "text_sent",
            1,
            id="HTML that calls itself a JPEG",
        ),
        pytest.param(answer("\ufeff<html>Добро".encode()), "text_sent", 1, id="HTML of UTF-8"),
        pytest.param(answer("<p>Добро".encode("cp1251")), "text_sent", 1, id="HTML of an old page"),
        pytest.param(
            answer(
                "<html>".encode("utf-16"),
                headers={"Content-Type": "text/html; charset=utf-16"},
            ),
            "text_sent",
            1,
            id="HTML of UTF-16",
        ),
        pytest.param(answer(b'{"error": "busy"}'), "text_sent", 1, id="JSON"),
        pytest.param(answer(b"try again later\n"), "text_sent", 1, id="plain text"),
        *(
            pytest.param(answer(page, headers=AS_JPEG), "text_sent", 1, id=name)
            for name, page in PAGES.items()
        ),
        *(
            pytest.param(answer(drawing, headers=AS_JPEG), "not_an_image", 1, id=name)
            for name, drawing in DRAWINGS.items()
        ),
        pytest.param(answer(image_bytes("TIFF")), "not_an_image", 1, id="TIFF"),
        pytest.param(answer(b""), "incomplete", 1, id="empty"),
        pytest.param(unmeasured(b""), "incomplete", 1, id="empty, unannounced"),
        pytest.param(unmeasured(PNG[:-20]), "incomplete", 1, id="cut PNG, no Content-Length"),
        pytest.param(unmeasured(JPEG[:-99]), "incomplete", 1, id="cut JPEG, no Content-Length"),
        pytest.param(unmeasured(JPEG[:-2]), "ok", 1, id="JPEG without its end marker"),
        pytest.param(answer(JPEG[:-99]), "not_an_image", 1, id="cut JPEG"),
        pytest.param(in_chunks(PNG), "ok", 1, id="in chunks"),
        pytest.param(in_chunks(PNG[:-20]), "not_an_image", 1, id="cut PNG, in chunks"),
        pytest.param(in_chunks(PNG, ends=False), "connection_error", 2, id="cut chunks"),
        pytest.param(unmeasured(PNG), "ok", 1, id="no Content-Length"),
        pytest.param(answer(huge_png(60_000, 60_000)), "too_many_pixels", 1, id="pixel bomb"),
        pytest.param(answer(bytes(MAX_BYTES + 1)), "too_large", 1, id="a byte too many"),
        pytest.param(unmeasured(bytes(50_000)), "too_large", 1, id="too large, unannounced"),
        pytest.param(dropped(PNG), "connection_error", 2, id="dropped"),
        pytest.param(in_turn(dropped(PNG), answer(PNG)), "ok", 2, id="dropped, then well"),
        pytest.param(answer(image_bytes("MPO")), "ok", 1, id="MPO"),
        pytest.param(answer(image_bytes("AVIF")), "ok", 1, id="AVIF"),
        pytest.param(coded(PNG, "identity"), "ok", 1, id="coded as it is"),
        pytest.param(coded(b"no gzip", "gzip"), "http_error", 1, id="not the encoding it says"),
        pytest.param(coded(gzip.compress(PNG), "gzip"), "http_error", 1, id="gzip"),
        pytest.param(coded(gzip.compress(PNG), "X-GZip"), "http_error", 1, id="gzip, old name"),
        pytest.param(coded(zlib.compress(PNG), "deflate"), "http_error", 1, id="deflate"),
        pytest.param(
            coded(gzip.compress(gzip.compress(PNG)), "gzip, gzip"), "http_error", 1, id="gzip twice"
        ),
        pytest.param(coded(PNG, "br"), "http_error", 1, id="an encoding not known here"),
        # Unpacked it is ten times as much as is allowed; nothing may have been unpacked.
        pytest.param(
            coded(gzip.compress(bytes(10 * MAX_BYTES)), "gzip"), "http_error", 1, id="small bomb"
        ),
        pytest.param(
            in_turn(coded(b"no gzip", "gzip", status=302, headers={"Location": "/a"}), answer(PNG)),
            "ok",
            2,
            id="the body of a redirect is not read",
        ),
        pytest.param(
            answer(status=302, headers={"Location": "/a"}), "http_error", 6, id="endless redirect"
        ),
        pytest.param(
            answer(status=302, headers={"Location": "ftp://127.0.0.1/a"}),
            "address_refused",
            1,
            id="redirect out of HTTP",
        ),
        pytest.param(
            answer(status=302, headers={"Location": "file:///etc/hostname"}),
            "address_refused",
            1,
            id="redirect to a file",
        ),
    ],
)
def test_outcome(
    server: ImageServer, tmp_path: Path, send: Any, expected: str, requests: int
) -> None:
    server.answers["/a"] = send
    assert outcome(server, tmp_path) == expected
    assert len(server.requests) == requests
    assert len(list(tmp_path.iterdir())) == (expected == "ok")


def test_server_is_asked_for_what_is_read_as_it_is(server: ImageServer, tmp_path: Path) -> None:
    asked: dict[str, str] = {}

    def note(handler: BaseHTTPRequestHandler) -> None:
        asked.update(handler.headers)
        answer(PNG)(handler)

    server.answers["/a"] = note
    assert outcome(server, tmp_path) == "ok"
    assert asked["Accept-Encoding"] == "identity"
    assert "image/avif" in asked["Accept"].split(",")
    assert "*" not in asked["Accept"]


def test_what_nobody_thought_of_is_the_outcome_of_its_url_alone(
    server: ImageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = {"/a": answer(PNG), "/b": answer(PNG)}
    tell = ImageFetcher._check_headers

    def raise_at_a(self: ImageFetcher, response: httpx.Response) -> None:
        if response.url.path == "/a":
            raise RecursionError("nobody thought of it")
        tell(self, response)

    monkeypatch.setattr(ImageFetcher, "_check_headers", raise_at_a)
    found = fetch([f"{server.url}/a", f"{server.url}/b"], tmp_path)
    assert [fetched.outcome for fetched in found.values()] == ["http_error", "ok"]


def test_folder_that_cannot_be_written_to_stops_with_its_name(
    server: ImageServer, tmp_path: Path
) -> None:
    server.answers["/a"] = answer(PNG)
    with pytest.raises(FileNotFoundError, match="gone"):
        outcome(server, tmp_path / "gone")


@pytest.mark.parametrize(
    "limits", [{"read_timeout_sec": 0.5}, {"total_timeout_sec": 0.5}], ids=["read", "total"]
)
def test_silent_server_is_given_up(
    server: ImageServer, tmp_path: Path, limits: dict[str, float]
) -> None:
    server.answers["/a"] = server.slow
    assert outcome(server, tmp_path, **limits) == "timeout"
    assert len(server.requests) == 2


def test_server_that_keeps_dripping_is_given_up(server: ImageServer, tmp_path: Path) -> None:
    server.answers["/a"] = server.dripping
    assert outcome(server, tmp_path, total_timeout_sec=0.3, attempts=1) == "timeout"


def test_nobody_listening_is_a_connection_error(tmp_path: Path) -> None:
    with ImageServer().running() as gone:
        pass
    assert outcome(gone, tmp_path) == "connection_error"


def test_dead_host_is_given_up_and_no_other(server: ImageServer, tmp_path: Path) -> None:
    with ImageServer().running() as gone:
        pass
    server.answers["/4"] = answer(PNG)
    urls = [f"{host}/{number}" for number in range(5) for host in (gone.url, server.url)]
    limits = {"max_failures_of_host": 2, "max_connections_per_host": 1, "attempts": 1}
    found = fetch(urls, tmp_path, **limits)
    outcomes = [found[url].outcome for url in urls]
    assert outcomes[::2] == ["connection_error"] * 2 + ["host_given_up"] * 3
    assert outcomes[1::2] == ["not_found"] * 4 + ["ok"]


def test_host_that_answers_now_and_then_is_not_given_up(
    server: ImageServer, tmp_path: Path
) -> None:
    server.answers = {f"/{number}": dropped(PNG) for number in (0, 2, 4)}
    urls = [f"{server.url}/{number}" for number in range(6)]
    limits = {"max_failures_of_host": 2, "max_connections_per_host": 1, "attempts": 1}
    outcomes = [fetched.outcome for fetched in fetch(urls, tmp_path, **limits).values()]
    assert outcomes == ["connection_error", "not_found"] * 3


def test_retry_after_is_waited_for(server: ImageServer, tmp_path: Path) -> None:
    server.answers["/a"] = in_turn(answer(status=429, headers={"Retry-After": "1"}), answer(PNG))
    assert outcome(server, tmp_path) == "ok"
    assert server.times[1] - server.times[0] >= 1


@pytest.mark.parametrize(
    "pause",
    ["3600", format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)],
    ids=["seconds", "date"],  # the same in all processes of the test run
)
def test_server_that_asks_for_a_long_pause_is_left_alone(
    server: ImageServer, tmp_path: Path, pause: str
) -> None:
    server.answers["/a"] = answer(status=429, headers={"Retry-After": pause})
    assert outcome(server, tmp_path) == "http_error"
    assert len(server.requests) == 1


@pytest.mark.parametrize("pause", ["soon", "-1", "Tue, 32 Nov 2026", ""])
def test_malformed_pause_is_no_pause(server: ImageServer, tmp_path: Path, pause: str) -> None:
    server.answers["/a"] = in_turn(answer(status=429, headers={"Retry-After": pause}), answer(PNG))
    assert outcome(server, tmp_path) == "ok"


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_host"])
def test_no_more_requests_at_a_time_than_allowed(
    server: ImageServer, tmp_path: Path, limit: str
) -> None:
    paths = [f"/{number}" for number in range(9)]
    server.answers = dict.fromkeys(paths, server.lingering(answer(PNG)))
    urls = [server.url + path for path in paths]
    found = fetch(urls, tmp_path, **{limit: 3})
    assert {fetched.outcome for fetched in found.values()} == {"ok"}
    assert 1 < server.most_at_a_time <= 3


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/a", "file:///etc/hostname", "a.jpg", "http://", "http://[::1", "\0"]
)
def test_what_is_no_web_address_is_refused(tmp_path: Path, url: str) -> None:
    assert fetch([url], tmp_path)[url].outcome == "address_refused"


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".test", "-.test"])
@pytest.mark.parametrize("private", [True, False])
def test_host_that_cannot_be_is_an_outcome(tmp_path: Path, host: str, private: bool) -> None:
    url = f"http://{host}/a"
    found = fetch([url], tmp_path, allow_private_addresses=private, attempts=1)
    assert found[url].outcome in {"address_refused", "connection_error"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]"])
def test_loopback_is_refused_without_a_request(
    server: ImageServer, tmp_path: Path, host: str
) -> None:
    server.answers["/a"] = answer(PNG)
    url = f"{server.url}/a".replace("127.0.0.1", host)
    assert fetch([url], tmp_path, allow_private_addresses=False)[url].outcome == "address_refused"
    assert server.requests == []


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Host name -> addresses; and 127.0.0.1, where the server is, counts as public."""
    known: dict[str, list[str]] = {}
    resolve = socket.getaddrinfo

    def fake(host: str, port: int, *rest: Any, **options: Any) -> list[Any]:
        if host not in known:
            return resolve(host, port, *rest, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    return known


def test_redirect_to_a_private_address_is_refused(
    server: ImageServer, tmp_path: Path, names: dict[str, list[str]]
) -> None:
    inside = f"{server.url}/secret".replace("127.0.0.1", "127.0.0.2")
    server.answers["/a"] = answer(status=302, headers={"Location": inside})
    server.answers["/secret"] = answer(PNG)
    assert outcome(server, tmp_path, allow_private_addresses=False) == "address_refused"
    assert server.requests == ["/a"]


def test_only_the_address_that_was_checked_is_connected_to(
    server: ImageServer, tmp_path: Path, names: dict[str, list[str]]
) -> None:
    names["shop.test"] = ["10.0.0.1", "127.0.0.1"]
    names["rebound.test"] = ["10.0.0.1"]
    server.answers["/a"] = answer(PNG)
    urls = [f"{server.url}/a".replace("127.0.0.1", host) for host in names]
    found = fetch(urls, tmp_path, allow_private_addresses=False)
    assert [found[url].outcome for url in urls] == ["ok", "address_refused"]
    assert server.requests == ["/a"]


@pytest.mark.parametrize("name", ["attempts", "max_connections", "max_bytes"])
def test_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} \(0\) must be at least 1"):
        image_fetcher(**{name: 0})


@pytest.mark.parametrize("text", ["no", "false", 0, None])
def test_a_word_is_no_leave_to_ask_private_addresses(text: Any) -> None:
    with pytest.raises(ValueError, match=rf"allow_private_addresses \({text}\) must be true or"):
        image_fetcher(allow_private_addresses=text)


def test_duration_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"read_timeout_sec \(0\).*must be positive"):
        image_fetcher(read_timeout_sec=0)
