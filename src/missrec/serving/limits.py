"""How large a request may be."""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from missrec.serving.refusals import Refused
from missrec.serving.requests import Asker, ExplainRequest, RecommendRequest, SimilarRequest
from missrec.serving.settings import ServiceSettings


class BodyLimit:
    """Refuses a body that is too large before more of it is read."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        """Wraps an app.

        Args:
            app: whose routes read bodies.
            max_bytes: of a body.
        """
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        num_bytes = 0
        said = dict(scope["headers"]).get(b"content-length", b"0")
        announced = int(said) if said.isdigit() else 0

        async def limited() -> Message:
            nonlocal num_bytes
            message = await receive() if announced <= self._max_bytes else None
            num_bytes += 0 if message is None else len(message.get("body", b""))
            if message is None or num_bytes > self._max_bytes:
                raise Refused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    "body_too_large",
                    f"the body has more than the {self._max_bytes:,} bytes that it may have",
                )
            return message

        await self._app(scope, limited, send)


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
