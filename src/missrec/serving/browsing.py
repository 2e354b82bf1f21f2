"""Items and interests as they are, whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import polars as pl

from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.answers import Interest, Member, Membership
from missrec.serving.asking import unknown_item
from missrec.serving.refusals import Refused
from missrec.serving.requests import InterestsRequest

_SHARE = "share_"


def item(
    recommender: CatalogueRecommender, keys: Sequence[str]
) -> list[tuple[str, list[Membership]] | Exception]:
    """Title and interests of each item."""
    titles = recommender.titles(keys).to_list()
    members = _interests(recommender)
    return [
        unknown_item(key) if title is None else (title, _memberships(members, key))
        for key, title in zip(keys, titles, strict=True)
    ]


def interests(
    recommender: CatalogueRecommender, questions: Sequence[InterestsRequest]
) -> list[tuple[int, list[Interest]] | Exception]:
    """How many interests there are, and those that are asked for."""
    members = _interests(recommender)
    if members is None:
        refused = Refused(HTTPStatus.NOT_FOUND, "no_interests", "this model finds no interests")
        return [refused for _ in questions]
    return [_page(members, question) for question in questions]


def _interests(recommender: CatalogueRecommender) -> pl.DataFrame | None:
    try:
        return recommender.interests()
    except ValueError:  # a model that finds none
        return None


def _memberships(members: pl.DataFrame | None, key: str) -> list[Membership]:
    if members is None:
        return []
    own = members.filter(pl.col("item") == key).select("modality", "interest", "distance")
    return [Membership(**row) for row in own.sort("modality").iter_rows(named=True)]


def _page(members: pl.DataFrame, asked: InterestsRequest) -> tuple[int, list[Interest]]:
    heads = members.unique("interest", keep="first", maintain_order=True)
    page = heads.slice(asked.offset, asked.limit)
    central = members.filter(pl.col("interest").is_in(page["interest"].implode()))
    central = central.group_by("interest", maintain_order=True).head(asked.members)
    of_interest: dict[int, list[Member]] = {number: [] for number in page["interest"]}
    for row in central.select("interest", *Member.model_fields).iter_rows(named=True):
        of_interest[row.pop("interest")].append(Member(**row))
    shares = [name for name in page.columns if name.startswith(_SHARE)]
    found = [
        Interest(
            interest=row["interest"],
            size=row["size"],
            shares={name.removeprefix(_SHARE): row[name] for name in shares},
            members=of_interest[row["interest"]],
        )
        for row in page.iter_rows(named=True)
    ]
    return len(heads), found
