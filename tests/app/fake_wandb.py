"""A W&B server on this machine that keeps views and runs in memory."""

from __future__ import annotations

import gzip
import json
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import Any

from local_server import LocalServer

_VIEWER = {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
_UPLOAD = "/upload/"


class FakeWandb(LocalServer):
    """Answers what views and the upload of runs ask.

    Attributes:
        views: id -> a view as it was sent.
        runs: id -> what was told of a run, the newest of each.
        history: id -> the rows of a run's curves and tables.
        uploads: `run/<file>` or `<artifact>/<file>` -> its bytes.
        committed: the artifacts whose upload has ended.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.views: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.uploads: dict[str, bytes] = {}
        self.committed: set[str] = set()
        self.refuses = False
        self._numbers = count()

    @property
    def login(self) -> dict[str, str]:
        """The environment of a process that shall come here."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": "0" * 40,
            "WANDB_MODE": "online",  # Lightning leaves another after an offline run in this process
        }

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        for name, field in _FIELDS.items():
            if f"{name}(" in query:
                return {name: field(self, variables)}
        if "allViews" in query:
            return {"project": {"allViews": {"edges": self._views_named(variables["viewName"])}}}
        return {"viewer": _VIEWER}

    def _views_named(self, name: str) -> list[dict[str, Any]]:
        return [
            {"node": {"id": number, "displayName": view["displayName"], "spec": view["spec"]}}
            for number, view in self.views.items()
            if view["name"] == name
        ]

    def _view(self, variables: dict[str, Any]) -> dict[str, Any]:
        number = variables.get("id") or str(next(self._numbers))
        self.views[number] = variables
        return {"view": {"id": number, "name": variables["name"]}}

    def _run(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        told = {key: value for key, value in variables.items() if value is not None}
        self.runs[name] = {**self.runs.get(name, {}), **told}
        project = {"id": "1", "name": "missrec", "entity": {"id": "1", "name": "me"}}
        bucket = {"id": name, "name": name, "displayName": name, "config": "{}", "project": project}
        return {"bucket": {**bucket, "historyLineCount": 0}, "inserted": True}

    def _run_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        files = [
            {"name": name, "uploadUrl": f"{self.url}{_UPLOAD}run/{name}"}
            for name in variables["files"]
        ]
        return {"runID": variables["run"], "uploadHeaders": [], "files": files}

    def _artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["input"]["artifactCollectionName"]
        sequence = {"latestArtifact": None}
        return {"artifact": {"id": name, "state": "PENDING", "artifactSequence": sequence}}

    def _manifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        place = f"{self.url}{_UPLOAD}{variables['artifactID']}/wandb_manifest.json"
        file = {"id": "1", "name": "manifest", "uploadUrl": place, "uploadHeaders": []}
        return {"artifactManifest": {"id": "1", "file": {**file, "displayName": "manifest"}}}

    def _artifact_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        nodes = []
        for file in variables["input"]["artifactFiles"]:
            place = f"{file['artifactID']}/{file['name']}"
            node = {"storagePath": place, "uploadUrl": f"{self.url}{_UPLOAD}{place}"}
            node |= {"uploadHeaders": [], "uploadMultipartUrls": None}
            nodes.append({"node": {**node, "artifact": {"id": file["artifactID"]}}})
        return {"files": {"edges": nodes}}

    def _commit(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.committed.add(variables["artifactID"])
        return {"artifact": {"id": variables["artifactID"], "digest": ""}}


_FIELDS = {
    "upsertView": FakeWandb._view,
    "upsertBucket": FakeWandb._run,
    "createRunFiles": FakeWandb._run_files,
    "createArtifact": FakeWandb._artifact,
    "createArtifactManifest": FakeWandb._manifest,
    "createArtifactFiles": FakeWandb._artifact_files,
    "commitArtifact": FakeWandb._commit,
}
"""Of GraphQL, what the client asks to be done."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeWandb

    def do_POST(self) -> None:
        body = self._body()
        if self.path.startswith("/files/"):  # curves: /files/<entity>/<project>/<run>/file_stream
            sent = json.loads(body).get("files", {}).get("wandb-history.jsonl", {})
            rows = self.server.history.setdefault(self.path.split("/")[4], [])
            rows += map(json.loads, sent.get("content", []))
            self._send(200, {})
        elif self.path != "/graphql":
            self._send(404, {})
        elif self.server.refuses:
            self._send(403, {"errors": [{"message": "permission denied"}]})
        else:
            asked = json.loads(body)
            self._send(
                200, {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
            )

    def do_PUT(self) -> None:
        self.server.uploads[self.path.removeprefix(_UPLOAD)] = self._body()
        self._send(200, {})

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _send(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""
