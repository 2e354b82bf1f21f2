"""The page at `/`, and what it asks for under `/explorer`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from http import HTTPStatus
from importlib.resources import files
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field

from missrec.serving import requests
from missrec.serving.access import Asks, Questions, require_key
from missrec.serving.exploring import Explorer
from missrec.serving.refusals import Refused
from missrec.serving.served import Now, Served

_PAGE, _INDEX = "page", "index.html"
_MEDIA_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # asked for again, and answered by 304
}
_PICTURE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=3600",
}

Key = Annotated[requests.Key, Field(max_length=1000)]
Keys = Annotated[list[Key], Field(max_length=1000, fail_fast=True)]
Text = Annotated[str, Query(max_length=200)]
AskedKey = Annotated[str, Query(max_length=1000)]
Limit = Annotated[int, Query(ge=1, le=100)]
Number = Annotated[int, Query(ge=0, le=2**31)]


class HistoryRequest(requests.Request):
    """A history, and the parts of scores to leave out."""

    history: Keys
    without: requests.Keys = Field(default=[], max_length=16)


class RecommendRequest(HistoryRequest):
    """Asks for the best items of a history."""

    k: int = Field(default=12, ge=1, le=100)


class ExplainRequest(HistoryRequest):
    """Asks why an item has its score."""

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


_FILES = _page_files()

page = APIRouter(include_in_schema=False)
"""The page itself, which holds nothing of a catalogue and is given out without a key."""


@page.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _page_answer(_FILES[_INDEX], request)


@page.get("/explorer/page/{name}")
async def page_file(name: str, request: Request) -> Response:
    """What the page is made of."""
    if name not in _FILES:
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", "the page has no such file")
    return _page_answer(_FILES[name], request)


def _page_answer(file: _PageFile, request: Request) -> Response:
    headers = _PAGE_HEADERS | {"ETag": file.tag}
    if request.headers.get("If-None-Match") == file.tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


router = APIRouter(
    prefix="/explorer/api", include_in_schema=False, dependencies=[Depends(require_key)]
)
"""What the page asks for; for programs there is `/v1`."""

Answer = dict[str, Any]


class _Asker:
    """Has an explorer answer in the recommender's thread, in its turn."""

    def __init__(self, served: Now, questions: Asks) -> None:
        self.served: Served = served
        self._questions: Questions = questions

    async def ask(self, answer: Callable[[Explorer], Answer]) -> Answer:
        explorer = self.served.explorer
        return await self._questions.ask(("explore", id(explorer)), _answers(explorer), answer)


def _answers(
    explorer: Explorer,
) -> Callable[[Sequence[Callable[[Explorer], Answer]]], list[Answer | Exception]]:
    def one(answer: Callable[[Explorer], Answer]) -> Answer | Exception:
        try:
            return answer(explorer)
        except KeyError as error:
            said = f"{error.args[0]!r} is not known"
            return Refused(HTTPStatus.NOT_FOUND, "not_found", said)
        except ValueError as error:
            return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", str(error))

    return lambda questions: [one(question) for question in questions]


Asked = Annotated[_Asker, Depends()]


@router.get("/about")
async def about(asked: Asked) -> Answer:
    """What there is to explore."""
    return await asked.ask(Explorer.about) | asked.served.version._asdict()


@router.get("/items")
async def items(asked: Asked, text: Text = "", limit: Limit = 12) -> Answer:
    """Items by the words of their titles."""
    return await asked.ask(lambda explorer: explorer.find_items(text, limit=limit))


@router.get("/users")
async def users(asked: Asked, text: Text = "", limit: Limit = 12) -> Answer:
    """Users by parts of their keys."""
    return await asked.ask(lambda explorer: explorer.find_users(text, limit=limit))


@router.get("/user")
async def user(asked: Asked, user: AskedKey) -> Answer:
    """The history of a user."""
    return await asked.ask(lambda explorer: explorer.user(user))


@router.post("/recommend")
async def recommend(asked: Asked, body: RecommendRequest) -> Answer:
    """The best items of a history."""
    return await asked.ask(
        lambda explorer: explorer.recommend(body.history, k=body.k, without=body.without)
    )


@router.post("/explain")
async def explain(asked: Asked, body: ExplainRequest) -> Answer:
    """Why an item has its score."""
    return await asked.ask(
        lambda explorer: explorer.explain(body.history, body.item, without=body.without)
    )


@router.get("/similar")
async def similar(asked: Asked, item: AskedKey, k: Limit = 12) -> Answer:
    """Items like an item."""
    return await asked.ask(lambda explorer: explorer.similar(item, k=k))


@router.get("/interests")
async def interests(asked: Asked) -> Answer:
    """The map of interests."""
    return await asked.ask(Explorer.interests)


@router.get("/interest")
async def interest(asked: Asked, number: Number, limit: Limit = 60) -> Answer:
    """The items of one interest."""
    return await asked.ask(lambda explorer: explorer.interest(number, limit=limit))


@router.get("/picture")
def picture(served: Now, item: AskedKey) -> FileResponse:
    """The picture of an item; its key is looked up, and no path is made of it."""
    found = served.explorer.pictures.of(item)
    if found is None:
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", "there is no picture of this item")
    return FileResponse(found.path, media_type=found.media_type, headers=_PICTURE_HEADERS)
