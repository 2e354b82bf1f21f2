"""Who may ask, and how a question reaches the recommender."""

from __future__ import annotations

from collections.abc import Hashable
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from missrec.serving.batching import Answers, Batcher, BusyError
from missrec.serving.refusals import Refused
from missrec.serving.settings import ServiceSettings

Q = TypeVar("Q")
A = TypeVar("A")

_RETRY_AFTER_SEC = 1

_bearer = HTTPBearer(auto_error=False, description="a key of the service's file of keys")


def _settings(request: Request) -> ServiceSettings:
    settings: ServiceSettings = request.app.state.settings
    return settings


Settings = Annotated[ServiceSettings, Depends(_settings)]
"""Parameter of a route: the settings of the service."""


def require_key(
    settings: Settings,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """Refuses a request without a key, where the service has any.

    Raises:
        Refused: it has no key, or an unknown one.
    """
    if settings.keys is not None and not (given and settings.keys.hold(given.credentials)):
        raise _unauthorized("unknown key" if given else "no key")


def require_admin(settings: Settings) -> None:
    """Refuses what must not be had without a key by a service that has none.

    Raises:
        Refused: the service has none.
    """
    if settings.keys is None:
        raise Refused(HTTPStatus.FORBIDDEN, "needs_keys", "the service has no keys; this needs one")


def _unauthorized(what: str) -> Refused:
    said = f"{what}; send the header Authorization: Bearer <key>"
    refused = Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", said)
    refused.headers = {"WWW-Authenticate": "Bearer"}
    return refused


class Questions:
    """Puts questions to the recommender."""

    def __init__(self, batcher: Batcher) -> None:
        """Takes what asks it."""
        self.batcher = batcher

    async def ask(self, kind: Hashable, answers: Answers[Q, A], question: Q) -> A:
        """The answer, see `Batcher.ask`.

        Raises:
            Refused: too many requests wait, or the index is elsewhere and cannot be reached.
        """
        try:
            return await self.batcher.ask(kind, answers, question)
        except BusyError as error:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "busy",
                f"{error}; try again in {_RETRY_AFTER_SEC} s",
                retry_after_sec=_RETRY_AFTER_SEC,
            ) from error
        except ConnectionError as error:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "index_unavailable",
                f"the index of the items does not answer; try again in {_RETRY_AFTER_SEC} s",
                retry_after_sec=_RETRY_AFTER_SEC,
            ) from error


def _questions(request: Request) -> Questions:
    questions: Questions = request.app.state.questions
    return questions


Asks = Annotated[Questions, Depends(_questions)]
"""Parameter of a route: puts its question."""
