"""An HTTP server on 127.0.0.1 that serves images, and misbehaves in every way that is asked for."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from PIL import Image

from local_server import LocalServer
from missrec.features.images.fetching import ImageFetcher

Answer = Callable[[BaseHTTPRequestHandler], None]
MAX_BYTES = 5_000


def image_bytes(
    kind: str = "PNG", *, color: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (8, 6)
) -> bytes:
    """An encoded image of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, kind)
    return stream.getvalue()


def png(
    size: tuple[int, int],
    pixels: bytes,
    *,
    depth: int,
    colour_type: int,
    chunks: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """A PNG as its specification has it, for what Pillow does not write.

    Args:
        size: width and height.
        pixels: the packed rows, each led by a 0, its filter.
        depth: bits a channel.
        colour_type: 0 grey, 2 colour, 3 palette, 4 grey with alpha, 6 colour with alpha.
        chunks: before the pixels.
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    more = b"".join(chunk(kind, content) for kind, content in (chunks or {}).items())
    body = chunk(b"IHDR", header) + more + chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def huge_png(width: int, height: int) -> bytes:
    """A PNG of some 60 bytes whose header claims any size."""
    return png((width, height), b"\0", depth=8, colour_type=2)


def answer(
    body: bytes = b"", *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """An answer with a right Content-Length, unless `headers` says otherwise."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def in_turn(*answers: Answer) -> Answer:
    """The first answer to the first request, and so on; the last one again and again."""
    left = list(answers)

    def send(handler: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return send


def dropped(body: bytes) -> Answer:
    """Promises a byte more than comes, then hangs up."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        answer(body, headers={"Content-Length": str(len(body) + 1)})(handler)
        handler.close_connection = True

    return send


def unmeasured(body: bytes) -> Answer:
    """Says nothing of the length; the body ends with the connection."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return send


def in_chunks(body: bytes, *, ends: bool = True) -> Answer:
    """Says the length of each piece as it comes, and at the end that it is the end; or not."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) + b"0\r\n\r\n" * ends)
        handler.close_connection = not ends

    return send


def image_fetcher(**changes: Any) -> ImageFetcher:
    """A fetcher for this server, with some settings changed."""
    settings: dict[str, Any] = {
        "max_connections": 8,
        "max_connections_per_host": 8,
        "read_timeout_sec": 5.0,
        "total_timeout_sec": 5.0,
        "attempts": 2,
        "first_wait_sec": 0.001,
        "max_wait_sec": 2.0,
        "max_failures_of_host": 50,
        "max_bytes": MAX_BYTES,
        "max_pixels": 10_000,
        "allow_private_addresses": True,
        "user_agent": "test",
    }
    return ImageFetcher(**settings | changes)


class ImageServer:
    """Answers by path; anything else is a 404.

    Attributes:
        url: of the root, without a final slash.
        requests: paths in the order they were asked for.
        times: when.
        most_at_a_time: requests that were open at once.
        stopping: set when the server goes down; slow answers wait for it.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.times: list[float] = []
        self.most_at_a_time = 0
        self.stopping = threading.Event()
        self._open = 0
        self._lock = threading.Lock()
        self._server = LocalServer(self._handler())
        self.url = self._server.url

    def slow(self, handler: BaseHTTPRequestHandler) -> None:
        """Never answers."""
        self.stopping.wait()

    def dripping(self, handler: BaseHTTPRequestHandler) -> None:
        """A byte every now and then, so that no read takes long, for ever."""
        handler.send_response(200)
        handler.end_headers()
        while not self.stopping.wait(0.05):
            handler.wfile.write(b"x")

    def lingering(self, send: Answer, *, seconds: float = 0.05) -> Answer:
        """An answer that takes a moment, so that requests meet."""

        def late(handler: BaseHTTPRequestHandler) -> None:
            self.stopping.wait(seconds)
            send(handler)

        return late

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with server._lock:
                    server.requests.append(self.path)
                    server.times.append(time.monotonic())
                    server._open += 1
                    server.most_at_a_time = max(server.most_at_a_time, server._open)
                try:
                    server.answers.get(self.path, answer(status=404))(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    with server._lock:
                        server._open -= 1

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler

    @contextmanager
    def running(self) -> Iterator[ImageServer]:
        with self._server.running():
            try:
                yield self
            finally:
                self.stopping.set()
