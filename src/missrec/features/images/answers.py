"""What a server answers: an image, or something in its place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx

from missrec.data.sources.answers import tells_its_end
from missrec.features.images.decoding import NOT_AN_IMAGE

INCOMPLETE, TEXT_SENT = "incomplete", "text_sent"
_TEXT_BYTES = b"\t\n\f\r" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
"""All but control characters, of which any other format has some among the first."""

_MAX_REDIRECTS = 5


@asynccontextmanager
async def final_answer(client: httpx.AsyncClient, url: str) -> AsyncIterator[httpx.Response]:
    """The answer at the end of all redirects, its body unread.

    httpx itself would read, and unpack, the bodies of the redirects too, however large.

    Raises:
        httpx.TooManyRedirects: more than five; or what else sending a request raises.
    """
    request = client.build_request("GET", url)
    for _ in range(_MAX_REDIRECTS + 1):
        response = await client.send(request, stream=True)
        try:
            if response.next_request is None:
                yield response
                return
            request = response.next_request
        finally:
            await response.aclose()
    raise httpx.TooManyRedirects(f"more than {_MAX_REDIRECTS} redirects", request=request)


class Body(NamedTuple):
    """What a server sent in place of an image, or as one.

    Attributes:
        content: its bytes.
        otherwise: the outcome where they are no image.
    """

    content: bytes
    otherwise: str


def outcome_of_no_image(response: httpx.Response, content: bytearray) -> str:
    """What it means if the body of an answer is no image: only the last is the server's last word.

    A page that asks for a login or says "busy" has status 200 often enough.
    """
    if not content:
        return INCOMPLETE
    if response.headers.get("Content-Type", "").startswith("text/") or _is_text(content):
        return TEXT_SENT
    return NOT_AN_IMAGE if tells_its_end(response) else INCOMPLETE


def _is_text(content: bytearray) -> bool:
    """Whether it is HTML, JSON or such; an SVG, though text, is an image that is not read."""
    start = content[:1024]
    return not start.translate(None, _TEXT_BYTES) and b"<svg" not in start
