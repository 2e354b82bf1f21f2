"""The page at `/`, and what it asks for under `/explorer`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from missrec.serving.exploring import Explorer

_PAGE, _INDEX = "page", "index.html"
_MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # asked again, and answered by 304
}
_PICTURE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=3600",
}
_MAX_K, _MAX_FOUND, _LONGEST_TEXT, _LONGEST_HISTORY = 100, 100, 200, 1000

Text = Annotated[str, Field(max_length=_LONGEST_TEXT)]
Key = Annotated[str, Field(max_length=1000)]
Limit = Annotated[int, Query(ge=1, le=_MAX_FOUND)]
Number = Annotated[int, Query(ge=0, le=2**31)]
History = Annotated[list[Key], Field(max_length=_LONGEST_HISTORY)]


class RecommendRequest(BaseModel):
    """A history, and what to leave out."""

    history: History
    k: int = Field(default=12, ge=1, le=_MAX_K)
    without: list[Text] = Field(default=[], max_length=16)


class ExplainRequest(BaseModel):
    """A history and an item."""

    history: History
    item: Key


class _PageFile(NamedTuple):
    content: bytes
    media_type: str
    tag: str


def _page_files() -> dict[str, _PageFile]:
    """Name -> file of the page, all of it in memory: no path is made of what is asked for."""
    found = {}
    for file in files("missrec.serving").joinpath(_PAGE).iterdir():
        content = file.read_bytes()
        media_type = _MEDIA_TYPES[file.name.rpartition(".")[2]]
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        found[file.name] = _PageFile(content, f"{media_type}; charset=utf-8", tag)
    return found


def _explorer(request: Request) -> Explorer:
    explorer: Explorer = request.app.state.served.explorer
    return explorer


Now = Annotated[Explorer, Depends(_explorer)]
"""Parameter of a route: what is explored as its request begins."""


def page_router() -> APIRouter:
    """The page itself, which holds nothing of a catalogue."""
    router = APIRouter(include_in_schema=False)
    page = _page_files()

    @router.get("/")
    def index(request: Request) -> Response:
        return _page_answer(page[_INDEX], request)

    @router.get("/explorer/page/{name}")
    def page_file(name: str, request: Request) -> Response:
        if name not in page:
            raise HTTPException(404, "there is no such file")
        return _page_answer(page[name], request)

    return router


def explorer_router() -> APIRouter:
    """What the page asks for: items, users, recommendations, reasons, interests, pictures."""
    router = APIRouter(prefix="/explorer/api", include_in_schema=False)

    @router.get("/about")
    def about(explorer: Now, request: Request) -> dict[str, Any]:
        return explorer.about() | request.app.state.served.version._asdict()

    @router.get("/items")
    def items(explorer: Now, text: Text = "", limit: Limit = 24) -> dict[str, Any]:
        return explorer.find_items(text, limit=limit)

    @router.get("/users")
    def users(explorer: Now, text: Text = "", limit: Limit = 24) -> dict[str, Any]:
        return explorer.find_users(text, limit=limit)

    @router.get("/user")
    def user(explorer: Now, user: Key) -> dict[str, Any]:
        return _known(lambda: explorer.user(user), status=404)

    @router.post("/recommend")
    def recommend(explorer: Now, asked: RecommendRequest) -> dict[str, Any]:
        return _known(
            lambda: explorer.recommend(asked.history, k=asked.k, without=asked.without), status=422
        )

    @router.post("/explain")
    def explain(explorer: Now, asked: ExplainRequest) -> dict[str, Any]:
        return _known(lambda: explorer.explain(asked.history, asked.item), status=422)

    @router.get("/similar")
    def similar(explorer: Now, item: Key, k: Limit = 12) -> dict[str, Any]:
        return _known(lambda: explorer.similar(item, k=k), status=404)

    @router.get("/interests")
    def interests(explorer: Now) -> dict[str, Any]:
        return _known(explorer.interests, status=404)

    @router.get("/interest")
    def interest(explorer: Now, number: Number, limit: Limit = 60) -> dict[str, Any]:
        return _known(lambda: explorer.interest(number, limit=limit), status=404)

    @router.get("/picture")
    def picture(explorer: Now, item: Key) -> FileResponse:
        found = explorer.pictures.of(item)
        if found is None:
            raise HTTPException(404, "there is no picture of this item")
        return FileResponse(found.path, media_type=found.media_type, headers=_PICTURE_HEADERS)

    return router


def _page_answer(file: _PageFile, request: Request) -> Response:
    headers = _PAGE_HEADERS | {"ETag": file.tag}
    if request.headers.get("If-None-Match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _known(ask: Callable[[], dict[str, Any]], *, status: int) -> dict[str, Any]:
    """The answer, or the status where what was asked for is not known."""
    try:
        return ask()
    except KeyError as error:
        raise HTTPException(404, f"{error.args[0]!r} is not known") from error
    except ValueError as error:
        raise HTTPException(status, str(error)) from error
