"""Bodies of requests. Strict: true is no number, "5" is no number, unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

_KEYS = ["B000001", "B000017"]
_ASK = "either `user` or `history`"
_MOST_NAMES = 1_000
"""Of an object; a body of nothing but wrong ones would take the whole service long to refuse."""


def _valid(text: str) -> str:
    """The text; JSON may spell halves of characters, which no file and no index can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a surrogate pair, which is no character") from error
    return text


def _few_names(value: Any) -> Any:
    if isinstance(value, dict) and len(value) > _MOST_NAMES:
        raise ValueError(f"has {len(value):,} names, and {_MOST_NAMES:,} is the most")
    return value


Key = Annotated[str, AfterValidator(_valid)]
Keys = Annotated[list[Key], Field(fail_fast=True)]
"""Of keys that are none only the first is told."""
Lists = Annotated[dict[Key, Keys], BeforeValidator(_few_names)]
K = Annotated[int, Field(ge=1, description="items to answer, of each list", examples=[10])]


class Request(BaseModel):
    """What all have in common."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, body: Any) -> Any:
        return _few_names(body)


class Asker(Request):
    """Whom a request is about: a user that the service knows, or a history."""

    user: Key | None = Field(
        default=None, description=f"key of a known user; {_ASK}", examples=["A12"]
    )
    history: Keys | None = Field(
        default=None, description=f"keys of items, oldest first; {_ASK}", examples=[_KEYS]
    )

    @model_validator(mode="after")
    def _asks_of_one(self) -> Self:
        if (self.user is None) == (self.history is None):
            raise ValueError(f"give {_ASK}")
        return self


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class RecommendRequest(Asker):
    """Asks for the best items of a user."""

    model_config = _example(history=_KEYS, k=10)

    k: K = 10
    exclude_seen: bool = Field(default=True, description="leave out items of the history")
    allow: Keys | None = Field(default=None, description="only these items")
    block: Keys | None = Field(default=None, description="none of these items")
    lists: Lists | None = Field(
        default=None,
        min_length=1,
        description="name -> items: the best `k` of each, in an answer of its own",
        examples=[{"new": ["B000002", "B000003"], "sale": ["B000005"]}],
    )


class SimilarRequest(Request):
    """Asks for items like others."""

    model_config = _example(items=_KEYS[:1], k=10)

    items: Keys = Field(min_length=1, description="keys of items, each answered on its own")
    k: K = 10


class ExplainRequest(Asker):
    """Asks why an item has its score."""

    model_config = _example(history=_KEYS, item="B000002")

    item: Key = Field(description="key of the item")


class InterestsRequest(BaseModel):
    """Which interests to show."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=100, ge=1, le=1000, description="interests to answer")
    offset: int = Field(default=0, ge=0, le=10**9, description="the largest ones to leave out")
    members: int = Field(default=5, ge=0, le=100, description="items of each, the most central")
