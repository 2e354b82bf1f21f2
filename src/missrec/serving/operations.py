"""What operators and machines ask: health, readiness, metrics, a reload."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from missrec.serving.access import Asks, require_admin, require_key
from missrec.serving.answers import VersionAnswer
from missrec.serving.metrics import Metrics
from missrec.serving.refusals import Refused, refusals
from missrec.serving.reloading import Reload
from missrec.serving.served import Now

router = APIRouter()


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Requests may come."""

    status: Literal["ready"] = "ready"
    version: VersionAnswer


class Reloaded(BaseModel):
    """A reload is done, or has begun."""

    status: Literal["reloaded", "reloading"]
    version: VersionAnswer | None


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the process answers; where not, start it again."""
    return Health()


@router.get("/readyz", responses=refusals(HTTPStatus.SERVICE_UNAVAILABLE))
async def readyz(served: Now, questions: Asks) -> Readiness:
    """Whether requests may come, and what they are answered with."""
    if not questions.batcher.is_alive:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "the recommender is not there")
    return Readiness(version=VersionAnswer.model_validate(served.version))


def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


@router.get(
    "/metrics",
    dependencies=[Depends(require_key)],
    response_class=Response,
    responses={
        200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}},
        **refusals(HTTPStatus.UNAUTHORIZED),
    },
)
async def metrics(own: Annotated[Metrics, Depends(_metrics)]) -> Response:
    """Counts for Prometheus, of all processes of the service."""
    return Response(own.exposition(), media_type=CONTENT_TYPE_LATEST)


def _reload(request: Request) -> Reload | None:
    reload: Reload | None = request.app.state.reload
    return reload


@router.post(
    "/admin/reload",
    dependencies=[Depends(require_admin), Depends(require_key)],
    response_model=Reloaded,
    responses={
        202: {"model": Reloaded, "description": "one process after the other is replaced"},
        **refusals(HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT),
    },
)
async def reload(reload: Annotated[Reload | None, Depends(_reload)]) -> Response:
    """Serves what lies at the place that the service was started with now, in whole."""
    if reload is None:
        raise Refused(HTTPStatus.CONFLICT, "not_reloadable", "there is nothing to load from")
    version = await reload()
    if version is None:
        begun = Reloaded(status="reloading", version=None)
        return JSONResponse(begun.model_dump(), status_code=HTTPStatus.ACCEPTED)
    done = Reloaded(status="reloaded", version=VersionAnswer.model_validate(version))
    return JSONResponse(done.model_dump())
