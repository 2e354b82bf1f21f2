"""A server of files on this machine that does wrong what it is told to."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple

from local_server import LocalServer


class Fault(NamedTuple):
    """What goes wrong with one answer.

    Attributes:
        status: answers this instead of the file.
        retry_after: value of that header.
        drop_after: bytes of the body after which the connection closes.
        length_error: added to the length that the header tells.
        no_length: tells no length at all.
        ignores_range: sends the whole file whatever is asked.
        wrong_range: sends the file from here, whatever is asked.
        becomes: the file has changed to this before the answer.
        pause_sec: between the pieces of the body.
    """

    status: int = 200
    retry_after: str | None = None
    drop_after: int | None = None
    length_error: int = 0
    no_length: bool = False
    ignores_range: bool = False
    wrong_range: int | None = None
    becomes: bytes | None = None
    pause_sec: float = 0


class FileServer:
    """Files by path, the faults that still lie ahead, and what was asked.

    Attributes:
        url: where it listens.
        files: path -> content.
        faults: path -> one for each of the next answers; later ones are right.
        requests: path and `Range` header of each request.
        weak_tags: whether ETags are weak, and no other validator is sent.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.weak_tags = False


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Runs a server until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self, state)

        def log_message(self, *arguments: object) -> None:
            pass

    server = LocalServer(Handler)
    state = FileServer(server.url)
    with server.running():
        yield state


def answer(handler: BaseHTTPRequestHandler, state: FileServer) -> None:
    path, asked = handler.path, handler.headers.get("Range")
    state.requests.append((path, asked))
    ahead = state.faults.get(path, [])
    fault = ahead.pop(0) if ahead else Fault()
    if fault.becomes is not None:
        state.files[path] = fault.becomes
    if path not in state.files or fault.status != 200:
        send_status(handler, 404 if path not in state.files else fault.status, fault.retry_after)
        return
    content = state.files[path]
    tag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
    start = 0
    same = handler.headers.get("If-Range") in (None, tag)
    if asked and same and not fault.ignores_range:
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            send_status(handler, 416, None, f"bytes */{len(content)}")
            return
        start = start if fault.wrong_range is None else fault.wrong_range
    handler.send_response(206 if start or fault.wrong_range is not None else 200)
    if start or fault.wrong_range is not None:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("ETag", f"W/{tag}" if state.weak_tags else tag)
    body = content[start:]
    if fault.no_length:
        handler.send_header("Connection", "close")
    else:
        handler.send_header("Content-Length", str(len(body) + fault.length_error))
    handler.end_headers()
    send_body(handler, body, fault)


def send_status(
    handler: BaseHTTPRequestHandler,
    status: int,
    retry_after: str | None,
    content_range: str | None = None,
) -> None:
    handler.send_response(status)
    for name, value in (("Retry-After", retry_after), ("Content-Range", content_range)):
        if value is not None:
            handler.send_header(name, value)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def send_body(handler: BaseHTTPRequestHandler, body: bytes, fault: Fault) -> None:
    sent = body if fault.drop_after is None else body[: fault.drop_after]
    with suppress(ConnectionError):  # the client may have left
        for start in range(0, len(sent), 4096):
            handler.wfile.write(sent[start : start + 4096])
            handler.wfile.flush()
            time.sleep(fault.pause_sec)
    if len(sent) < len(body) or fault.length_error or fault.no_length:
        handler.close_connection = True
