"""`/v1`: recommendations, similar items, items, interests, reasons."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from missrec.serving import asking, browsing
from missrec.serving.access import Asks, Settings, require_key
from missrec.serving.answers import (
    ExplainAnswer,
    InterestsAnswer,
    ItemAnswer,
    RecommendAnswer,
    SimilarAnswer,
    VersionAnswer,
)
from missrec.serving.limits import check_explain, check_recommend, check_similar
from missrec.serving.refusals import refusals
from missrec.serving.requests import (
    ExplainRequest,
    InterestsRequest,
    RecommendRequest,
    SimilarRequest,
)
from missrec.serving.served import Now, Served

_OF_BODIES = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)

router = APIRouter(
    prefix="/v1",
    dependencies=[Depends(require_key)],
    responses=refusals(
        HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)


@router.post("/recommend", responses=refusals(HTTPStatus.NOT_FOUND, *_OF_BODIES))
async def recommend(
    asked: RecommendRequest, served: Now, questions: Asks, settings: Settings
) -> RecommendAnswer:
    """The best items of a user or of a history, best first; equal scores by key."""
    check_recommend(asked, settings)
    selection = asking.Selection.of(asked)
    answers = partial(asking.recommend, served.recommender, selection)
    kind = ("recommend", id(served.recommender), selection)
    found = await questions.ask(kind, answers, asked)
    return RecommendAnswer(
        version=_version(served),
        items=found.lists.get(asking.ONLY_LIST, []) if asked.lists is None else [],
        lists={} if asked.lists is None else found.lists,
        unknown_items=found.unknown,
    )


@router.post("/similar", responses=refusals(*_OF_BODIES))
async def similar(
    asked: SimilarRequest, served: Now, questions: Asks, settings: Settings
) -> SimilarAnswer:
    """The items most like each item, whoever asks; never the item itself."""
    check_similar(asked, settings)
    answers = partial(asking.similar, served.recommender)
    kind = ("similar", id(served.recommender))
    found = await questions.ask(kind, answers, (asked.items, asked.k))
    return SimilarAnswer(version=_version(served), items=found.items, unknown_items=found.unknown)


@router.get("/items/{key:path}", responses=refusals(HTTPStatus.NOT_FOUND))
async def item(
    key: Annotated[str, Path(examples=["B000001"])], served: Now, questions: Asks
) -> ItemAnswer:
    """An item and the interests that it belongs to."""
    answers = partial(browsing.item, served.recommender)
    title, interests = await questions.ask(("item", id(served.recommender)), answers, key)
    return ItemAnswer(version=_version(served), item=key, title=title, interests=interests)


@router.get("/interests", responses=refusals(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY))
async def interests(
    asked: Annotated[InterestsRequest, Query()], served: Now, questions: Asks
) -> InterestsAnswer:
    """The interests that the model has found in the items, the largest first."""
    answers = partial(browsing.interests, served.recommender)
    total, found = await questions.ask(("interests", id(served.recommender)), answers, asked)
    return InterestsAnswer(version=_version(served), total=total, interests=found)


@router.post("/explain", responses=refusals(HTTPStatus.NOT_FOUND, *_OF_BODIES))
async def explain(
    asked: ExplainRequest, served: Now, questions: Asks, settings: Settings
) -> ExplainAnswer:
    """Why an item has its score: its parts, what each item of the history adds, interests."""
    check_explain(asked, settings)
    answers = partial(asking.explain, served.recommender)
    found = await questions.ask(("explain", id(served.recommender)), answers, asked)
    return ExplainAnswer(
        version=_version(served),
        item=asked.item,
        title=found.title,
        score=found.score,
        parts=found.parts,
        history=found.history,
        interests=found.interests,
        unknown_items=found.unknown,
    )


def _version(served: Served) -> VersionAnswer:
    return VersionAnswer.model_validate(served.version)
