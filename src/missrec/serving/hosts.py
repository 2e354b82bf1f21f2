"""Names under which a service is asked."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from missrec.serving.refusals import refusal


class HostCheck:
    """Refuses requests for another host.

    A page of a stranger may lead its own name to this machine; its requests still name it.
    """

    def __init__(self, app: ASGIApp, *, allowed: Sequence[str]) -> None:
        """Wraps an app.

        Args:
            app: what answers the others.
            allowed: names and addresses without ports, those of IPv6 in brackets.
        """
        self._app = app
        self._allowed = {name.lower() for name in allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
            name, _, port = host.rpartition(":")
            if (name if port.isdigit() else host) not in self._allowed:
                said = "the service is not asked by this name; its setting hosts lists the names"
                await refusal(HTTPStatus.BAD_REQUEST, "unknown_host", said)(scope, receive, send)
                return
        await self._app(scope, receive, send)
