"""What a server answers: an image, or something in its place."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx

from missrec.data.sources.answers import tells_its_end
from missrec.features.images.decoding import NOT_AN_IMAGE

INCOMPLETE, TEXT_SENT = "incomplete", "text_sent"
_START = 8192  # bytes by which a text is known
_TEXT_BYTES = b"\t\n\f\r" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
"""All but control characters, of which any other format has some among the first."""
_WIDE = {
    "utf-16-le": re.compile(rb"(?:\xff\xfe)?(?:[\t\n\f\r -~]\0){4}"),
    "utf-16-be": re.compile(rb"(?:\xfe\xff)?(?:\0[\t\n\f\r -~]){4}"),
}
"""Encodings of two bytes a character -> how a page of them begins, with or without its mark."""
_SVG = re.compile(
    r"\ufeff?(?>\s+|<\?.*?\?>|<!--.*?-->)*+<(?:svg\b|!doctype\s+svg\b)", re.IGNORECASE | re.DOTALL
)

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
    """Whether it is HTML, JSON or such; an SVG, though text, is an image that is not read.

    A page with an SVG in it is none.
    """
    start = bytes(content[:_START])
    wide = next((name for name, begins in _WIDE.items() if begins.match(start)), None)
    if wide is None and start[:1024].translate(None, _TEXT_BYTES):
        return False
    return _SVG.match(start.decode(wide or "utf-8", errors="replace")) is None
