"""How large a request may be."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from missrec.serving.refusals import Refused
from missrec.serving.requests import Asker, ExplainRequest, RecommendRequest, SimilarRequest
from missrec.serving.settings import ServiceSettings

_LONGEST_LENGTH = 15
"""Digits of a length that is looked at; one of more is of no body that there can be."""


class BodyLimit:
    """Refuses a body that is too large before more of it is read, and one that does not come."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_sec: float) -> None:
        """Wraps an app.

        Args:
            app: whose routes read bodies.
            max_bytes: of a body.
            max_sec: from the first byte that is waited for to the last.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._max_sec = max_sec

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        is_too_large = len(said) > _LONGEST_LENGTH or (
            said.isdigit() and int(said) > self._max_bytes
        )
        num_bytes, is_whole = 0, False
        deadline: float | None = None

        async def limited() -> Message:
            nonlocal num_bytes, is_whole, deadline
            if is_whole:
                return await receive()  # tells whether the client has gone
            if is_too_large:
                raise self._too_large()
            deadline = deadline or asyncio.get_running_loop().time() + self._max_sec
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise self._too_slow() from error
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_bytes:
                raise self._too_large()
            is_whole = not message.get("more_body", False)
            return message

        await self._app(scope, limited, send)

    def _too_large(self) -> Refused:
        said = f"the body has more than the {self._max_bytes:,} bytes that it may have"
        return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", said)

    def _too_slow(self) -> Refused:
        said = f"the body was not whole after {self._max_sec:g} s"
        refused = Refused(HTTPStatus.REQUEST_TIMEOUT, "body_too_slow", said)
        refused.headers = {"Connection": "close"}  # what else comes would be taken for a request
        return refused


def check_recommend(asked: RecommendRequest, settings: ServiceSettings) -> None:
    """Refuses a request for too much.

    Raises:
        Refused: says of what.
    """
    _check_asker(asked, settings)
    _check("k", asked.k, settings.max_k)
    lists = asked.lists or {}
    listed = {"allow": asked.allow, "block": asked.block}
    for where, keys in [*listed.items(), *((f"lists.{name}", own) for name, own in lists.items())]:
        _check(where, len(keys or ()), settings.max_listed, of="keys")
    _check("lists", len(lists), settings.max_lists, of="lists")


def check_similar(asked: SimilarRequest, settings: ServiceSettings) -> None:
    """As `check_recommend`."""
    _check("items", len(asked.items), settings.max_items, of="keys")
    _check("k", asked.k, settings.max_k)


def check_explain(asked: ExplainRequest, settings: ServiceSettings) -> None:
    """As `check_recommend`."""
    _check_asker(asked, settings)


def _check_asker(asked: Asker, settings: ServiceSettings) -> None:
    _check("history", len(asked.history or ()), settings.max_history, of="items")


def _check(where: str, number: int, largest: int, *, of: str | None = None) -> None:
    if number > largest:
        said = f"has {number:,} {of}, and" if of else "is more than"
        limit = f"{largest:,} is the most" if of else f"the {largest:,} that it may be"
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "limit_exceeded", f"body.{where} {said} {limit}"
        )
