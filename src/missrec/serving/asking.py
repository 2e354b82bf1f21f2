"""Questions of requests as calls of a recommender, several questions a call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.answers import (
    Found,
    Influence,
    NearInterest,
    Part,
    Recommended,
    Similar,
)
from missrec.serving.refusals import Refused
from missrec.serving.requests import Asker, ExplainRequest, RecommendRequest

_SHARE = "share_"
ONLY_LIST = ""


class Selection(NamedTuple):
    """What questions must have in common to be answered by one call.

    Attributes:
        exclude_seen: leave out items of the history.
        allow: only these items.
        block: none of these items.
        lists: name and items of each.
    """

    exclude_seen: bool
    allow: tuple[str, ...] | None
    block: tuple[str, ...] | None
    lists: tuple[tuple[str, tuple[str, ...]], ...] | None

    @classmethod
    def of(cls, asked: RecommendRequest) -> Selection:
        """What a request selects."""
        lists = asked.lists
        return cls(
            exclude_seen=asked.exclude_seen,
            allow=None if asked.allow is None else tuple(asked.allow),
            block=None if asked.block is None else tuple(asked.block),
            lists=None if lists is None else tuple((name, (*of,)) for name, of in lists.items()),
        )


class Recommendations(NamedTuple):
    """What a question for recommendations is answered.

    Attributes:
        lists: name of each list -> its best items; without lists one has the name "".
        unknown: keys of the question that no item has.
    """

    lists: dict[str, list[Recommended]]
    unknown: list[str]


class _Known(NamedTuple):
    """Keys that items have, and the others, each once."""

    keys: list[str]
    unknown: list[str]


def recommend(
    recommender: CatalogueRecommender, selection: Selection, questions: Sequence[RecommendRequest]
) -> list[Recommendations | Exception]:
    """The best items of each question; the k of each may be another.

    Args:
        recommender: answers.
        selection: that of all of them.
        questions: what is asked.
    """
    allow = None if selection.allow is None else _known(recommender, selection.allow)
    block = None if selection.block is None else _known(recommender, selection.block)
    lists = {name: _known(recommender, keys) for name, keys in selection.lists or ()}
    listed = [known for known in (allow, block, *lists.values()) if known is not None]
    histories = [_history(recommender, question) for question in questions]
    found = recommender.recommend(
        [[] if isinstance(own, Exception) else own.keys for own in histories],
        k=min(max(question.k for question in questions), len(recommender.items)),
        exclude_seen=selection.exclude_seen,
        allow=None if allow is None else allow.keys,
        block=None if block is None else block.keys,
        lists=None if selection.lists is None else {name: of.keys for name, of in lists.items()},
    )
    best: list[dict[str, list[Recommended]]] = [
        {name: [] for name in (lists if selection.lists is not None else [ONLY_LIST])}
        for _ in questions
    ]
    shares = [name for name in found.columns if name.startswith(_SHARE)]
    titles = recommender.titles(found["item"])
    for row, title in zip(found.iter_rows(named=True), titles, strict=True):
        place = row["history"]
        if row["rank"] <= questions[place].k:
            best[place][row.get("list", ONLY_LIST)].append(
                Recommended(
                    rank=row["rank"],
                    item=row["item"],
                    title=title,
                    score=row["score"],
                    shares={name.removeprefix(_SHARE): row[name] for name in shares},
                )
            )
    return [
        own
        if isinstance(own, Exception)
        else Recommendations(of, _once(key for one in (own, *listed) for key in one.unknown))
        for own, of in zip(histories, best, strict=True)
    ]


class Alike(NamedTuple):
    """What a question for similar items is answered.

    Attributes:
        items: of each that is known, those like it.
        unknown: keys that no item has.
    """

    items: list[Similar]
    unknown: list[str]


def similar(
    recommender: CatalogueRecommender, questions: Sequence[tuple[Sequence[str], int]]
) -> list[Alike]:
    """Items like those of each question.

    Args:
        recommender: answers.
        questions: item keys, and how many for each.
    """
    known = [_known(recommender, dict.fromkeys(keys)) for keys, _ in questions]
    asked = _once(key for one in known for key in one.keys)
    largest = min(max(k for _, k in questions), len(recommender.items))
    found = recommender.similar(asked, k=largest)
    like: dict[str, list[Found]] = {key: [] for key in asked}
    titles = recommender.titles(found["similar"])
    for row, title in zip(found.iter_rows(named=True), titles, strict=True):
        like[row["item"]].append(
            Found(rank=row["rank"], item=row["similar"], title=title, score=row["score"])
        )
    return [
        Alike([Similar(item=key, similar=like[key][:k]) for key in own.keys], own.unknown)
        for (_, k), own in zip(questions, known, strict=True)
    ]


class Reasons(NamedTuple):
    """Why an item has its score.

    Attributes:
        title: of the item.
        score: of the item.
        parts: that add up to the score.
        history: what each item of the history adds.
        interests: of the history, the nearest first.
        unknown: keys of the history that no item has.
    """

    title: str
    score: float
    parts: list[Part]
    history: list[Influence]
    interests: list[NearInterest]
    unknown: list[str]


def explain(
    recommender: CatalogueRecommender, questions: Sequence[ExplainRequest]
) -> list[Reasons | Exception]:
    """Why the item of each question has its score."""
    return [_explained(recommender, question) for question in questions]


def _explained(recommender: CatalogueRecommender, question: ExplainRequest) -> Reasons | Exception:
    title = recommender.titles([question.item])[0]
    if title is None:
        return unknown_item(question.item)
    own = _history(recommender, question)
    if isinstance(own, Exception):
        return own
    if not own.keys:
        unknown = f": {', '.join(map(repr, own.unknown[:3]))}" if own.unknown else ""
        return Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no_known_item",
            f"the history holds no item that is known{unknown}",
        )
    rows = recommender.explain(own.keys, question.item)
    kinds = {str(kind[0]): of.rows(named=True) for kind, of in rows.group_by("kind")}
    return Reasons(
        title=title,
        score=kinds["score"][0]["value"],
        parts=[
            Part(part=row["name"], value=row["value"], share=row["share"])
            for row in kinds.get("part", ())
        ],
        history=[
            Influence(item=row["name"], title=row["title"], value=row["value"])
            for row in kinds["history"]
        ],
        interests=[
            NearInterest(interest=int(row["name"]), title=row["title"], cosine=row["value"])
            for row in kinds.get("interest", ())
        ],
        unknown=own.unknown,
    )


def unknown_item(key: str) -> Refused:
    """What a request is refused with whose item nobody knows."""
    return Refused(HTTPStatus.NOT_FOUND, "unknown_item", f"no item has the key {key!r}")


def _history(recommender: CatalogueRecommender, asked: Asker) -> _Known | Exception:
    """The history of whom a request is about."""
    if asked.user is None:
        return _known(recommender, asked.history or [])
    try:
        return _Known(recommender.histories([asked.user])[0].to_list(), [])
    except ValueError:
        return Refused(HTTPStatus.NOT_FOUND, "unknown_user", f"no user has the key {asked.user!r}")


def _known(recommender: CatalogueRecommender, keys: Iterable[str]) -> _Known:
    keys = list(keys)
    has_title = recommender.titles(keys).is_not_null().to_list()
    known = [key for key, has in zip(keys, has_title, strict=True) if has]
    return _Known(known, _once(key for key, has in zip(keys, has_title, strict=True) if not has))


def _once(keys: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(keys))
