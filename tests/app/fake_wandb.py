"""A W&B server on this machine that keeps views in memory."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import Any

from local_server import LocalServer

_VIEWER = {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}


class FakeWandb(LocalServer):
    """Answers what making, reading and changing a view asks; `views` has each as it was sent."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.views: dict[str, dict[str, Any]] = {}
        self.refuses = False
        self._numbers = count()

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertView" in query:
            number = variables.get("id") or str(next(self._numbers))
            self.views[number] = variables
            return {"upsertView": {"view": {"id": number, "name": variables["name"]}}}
        if "allViews" in query:
            wanted = variables["viewName"]
            nodes = [
                {"node": {"id": number, "displayName": view["displayName"], "spec": view["spec"]}}
                for number, view in self.views.items()
                if view["name"] == wanted
            ]
            return {"project": {"allViews": {"edges": nodes}}}
        return {"viewer": _VIEWER}


class _Handler(BaseHTTPRequestHandler):
    server: FakeWandb

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/graphql":
            self._send(404, {})
        elif self.server.refuses:
            self._send(403, {"errors": [{"message": "permission denied"}]})
        else:
            asked = json.loads(body)
            self._send(
                200, {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
            )

    def _send(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""
