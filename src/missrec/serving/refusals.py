"""What a request is refused with: one shape for all, `{"error": {"code", "message", ...}}`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

_LONGEST_VALUE = 60
_SHOWN_VALUES = (str, int, float, type(None))


class Detail(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(examples=["body.k"])
    message: str = Field(examples=["Input should be a valid integer, not 'ten'"])


class Error(BaseModel):
    """Why a request was refused."""

    code: str = Field(examples=["invalid_request"])
    message: str = Field(examples=["body.k: Input should be a valid integer, not 'ten'"])
    details: list[Detail] = Field(default=[], description="everything that is wrong")


class ErrorAnswer(BaseModel):
    """What any request that is not answered gets."""

    error: Error


class Refused(HTTPException):
    """A request that cannot be answered as it is.

    Attributes:
        code: a word for programs.
    """

    def __init__(
        self, status: HTTPStatus, code: str, message: str, *, retry_after_sec: int | None = None
    ) -> None:
        """Takes what to say.

        Args:
            status: of the answer.
            code: a word for programs.
            message: a line for people.
            retry_after_sec: when to ask again.
        """
        headers = None if retry_after_sec is None else {"Retry-After": str(retry_after_sec)}
        super().__init__(status, message, headers=headers)
        self.code = code


def refusals(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that may be refused so."""
    return {int(status): {"model": ErrorAnswer} for status in statuses}


def answer_refusals(app: FastAPI) -> None:
    """Has every refusal of an app answered in the one shape."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)


def refusal(
    status: int,
    code: str,
    message: str,
    *,
    details: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer; in ASCII, as what is quoted may be no valid Unicode."""
    error = {"code": code, "message": message, **({"details": [*details]} if details else {})}
    return Response(
        json.dumps({"error": error}),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    details = [
        {"where": ".".join(map(str, one["loc"])), "message": _message(one)}
        for one in error.errors()
    ]
    message = f"{details[0]['where']}: {details[0]['message']}"
    if len(details) > 1:
        message += f"; {len(details) - 1} more"
    return refusal(422, "invalid_request", message, details=details[:20])


def _message(error: Mapping[str, Any]) -> str:
    """What is wrong, with the value where it is short."""
    message, value = str(error["msg"]), error.get("input")
    if error["type"] in {"missing", "json_invalid"} or not isinstance(value, _SHOWN_VALUES):
        return message
    shown = repr(value)
    return f"{message}, not {shown}" if len(shown) <= _LONGEST_VALUE else message


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = error.code if isinstance(error, Refused) else HTTPStatus(error.status_code).name.lower()
    return refusal(error.status_code, code, str(error.detail), headers=error.headers)
