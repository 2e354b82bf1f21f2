"""Each request is counted, timed and logged, and what nobody foresaw is answered too."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from secrets import token_hex
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from missrec.serving.logs import FIELDS
from missrec.serving.metrics import Metrics
from missrec.serving.refusals import refusal

_SAFE_ID = re.compile(rb"[\w.-]{1,64}")
_QUIET = {"/healthz", "/readyz", "/metrics"}

_log = logging.getLogger(__name__)


class RequestRecord:
    """Wraps an app; the outermost part of it."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """Takes where to count."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        request_id = _request_id(scope)
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), own]}
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            _log.exception("a request failed", extra={FIELDS: {"request_id": request_id}})
            if status:  # half an answer is out: break it off
                raise
            said = f"the service failed; its log tells of request {request_id}"
            answer = refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", said)
            await answer(scope, receive, noted)
        finally:
            self._note(scope, status, perf_counter() - started, request_id)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        """By the route's template: a path may hold a key."""
        route = getattr(scope.get("route"), "path_format", "unmatched")
        self._metrics.requests.labels(route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        fields = {
            "method": scope["method"] if scope["method"] in _METHODS else "other",
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "request_id": request_id,
        }
        level = logging.DEBUG if route in _QUIET else logging.INFO
        _log.log(level, "request", extra={FIELDS: fields})


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _request_id(scope: Scope) -> str:
    """The caller's own, or a new one."""
    given = dict(scope["headers"]).get(b"x-request-id", b"")
    return given.decode() if _SAFE_ID.fullmatch(given) else token_hex(8)
