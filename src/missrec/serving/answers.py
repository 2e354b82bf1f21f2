"""What is answered."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_SHARES = "part of the score -> its share of the sizes of all parts"


class VersionAnswer(BaseModel):
    """What an answer was made of."""

    model_config = ConfigDict(from_attributes=True)

    model: str = Field(examples=["2026-03-01_12-00-00@9f2c11d0a4be"])
    catalogue: str = Field(examples=["demo_office@41c0de77a0f3"])


class Answer(BaseModel):
    """What all have in common: one version, from the first line to the last."""

    version: VersionAnswer


class Found(BaseModel):
    """An item that was found."""

    rank: int = Field(examples=[1])
    item: str = Field(examples=["B000002"])
    title: str = Field(examples=["Blue fountain pen"])
    score: float = Field(examples=[0.83])


class Recommended(Found):
    """An item that is recommended."""

    shares: dict[str, float] = Field(description=_SHARES, examples=[{"text": 0.7, "image": 0.3}])


class Unknown(BaseModel):
    """What nobody has."""

    unknown_items: list[str] = Field(description="keys of the request that no item has")


class RecommendAnswer(Answer, Unknown):
    """The best items, best first."""

    items: list[Recommended] = Field(description="empty where the request names lists")
    lists: dict[str, list[Recommended]] = Field(default={}, description="the best of each list")


class Similar(BaseModel):
    """Items like another one."""

    item: str
    similar: list[Found]


class SimilarAnswer(Answer, Unknown):
    """Of each item that is known, the most similar ones."""

    items: list[Similar]


class Membership(BaseModel):
    """A token of an item in an interest."""

    modality: str = Field(examples=["text"])
    interest: int
    distance: float = Field(description="to the prototype of the interest")


class ItemAnswer(Answer):
    """An item."""

    item: str
    title: str
    interests: list[Membership] = Field(description="where each of its tokens belongs")


class Member(BaseModel):
    """An item of an interest."""

    item: str
    title: str
    modality: str
    distance: float


class Interest(BaseModel):
    """An interest that the model has found in the items."""

    interest: int
    size: int = Field(description="tokens of items that belong to it")
    shares: dict[str, float] = Field(description="modality -> its share of the tokens")
    members: list[Member] = Field(description="the most central ones")


class InterestsAnswer(Answer):
    """Interests, the largest first."""

    total: int = Field(description="how many there are")
    interests: list[Interest]


class Part(BaseModel):
    """A part of a score."""

    part: str = Field(examples=["text"])
    value: float
    share: float


class Influence(BaseModel):
    """An item of the history."""

    item: str
    title: str
    value: float | None = Field(description="the score less what it would be without this item")


class NearInterest(BaseModel):
    """An interest of the history."""

    interest: int
    title: str | None = Field(description="its most central item")
    cosine: float = Field(description="of its prototype and the item")


class ExplainAnswer(Answer, Unknown):
    """Why an item has its score."""

    item: str
    title: str
    score: float
    parts: list[Part] = Field(description="they add up to the score")
    history: list[Influence]
    interests: list[NearInterest] = Field(description="the nearest first")
