"""Questions of requests as calls of a recommender, several questions a call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import NamedTuple

import polars as pl

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
    names = [name for name, _ in selection.lists or ()]
    asked = [selection.allow or (), selection.block or (), *(of for _, of in selection.lists or ())]
    allow, block, *listed = _known(recommender, asked)
    lists = dict(zip(names, listed, strict=True))
    histories = _histories(recommender, questions)
    found = recommender.recommend(
        [[] if isinstance(own, Exception) else own.keys for own in histories],
        k=min(max(question.k for question in questions), len(recommender.items)),
        exclude_seen=selection.exclude_seen,
        allow=None if selection.allow is None else allow.keys,
        block=None if selection.block is None else block.keys,
        lists={name: of.keys for name, of in lists.items()} or None,
    )
    best = _best(recommender, found, questions, names=names or [ONLY_LIST])
    answers: list[Recommendations | Exception] = []
    for own, of in zip(histories, best, strict=True):
        if isinstance(own, Exception):
            answers.append(own)
        else:
            unknown = _once(key for one in (own, allow, block, *listed) for key in one.unknown)
            answers.append(Recommendations(of, unknown))
    return answers


def _best(
    recommender: CatalogueRecommender,
    found: pl.DataFrame,
    questions: Sequence[RecommendRequest],
    *,
    names: Sequence[str],
) -> list[dict[str, list[Recommended]]]:
    """Of each question the items of each list, as many as it asks for."""
    best: list[dict[str, list[Recommended]]] = [{name: [] for name in names} for _ in questions]
    shares = [name for name in found.columns if name.startswith(_SHARE)]
    titles = recommender.titles(found["item"])
    for row, title in zip(found.iter_rows(named=True), titles, strict=True):
        if row["rank"] <= questions[row["history"]].k:
            best[row["history"]][row.get("list", ONLY_LIST)].append(
                Recommended(
                    rank=row["rank"],
                    item=row["item"],
                    title=title,
                    score=row["score"],
                    shares={name.removeprefix(_SHARE): row[name] for name in shares},
                )
            )
    return best


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
    known = _known(recommender, [_once(keys) for keys, _ in questions])
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
    (own,) = _histories(recommender, [question])
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


def _histories(
    recommender: CatalogueRecommender, questions: Sequence[Asker]
) -> list[_Known | Exception]:
    """The history of whom each question is about."""
    own = [_history(recommender, question) for question in questions]
    known = iter(_known(recommender, [keys for keys in own if not isinstance(keys, Exception)]))
    return [keys if isinstance(keys, Exception) else next(known) for keys in own]


def _history(recommender: CatalogueRecommender, asked: Asker) -> Sequence[str] | Exception:
    if asked.user is None:
        return asked.history or []
    try:
        own: list[str] = recommender.histories([asked.user])[0].to_list()
    except ValueError:
        said = f"no user has the key {asked.user!r}"
        return Refused(HTTPStatus.NOT_FOUND, "unknown_user", said)
    return own


def _known(recommender: CatalogueRecommender, lists: Sequence[Sequence[str]]) -> list[_Known]:
    """Of each list the keys that items have, and the others; looked up all at once."""
    every = [key for keys in lists for key in keys]
    titled = iter(recommender.titles(every).is_not_null().to_list())
    found = []
    for keys in lists:
        is_known = [next(titled) for _ in keys]
        known = [key for key, is_one in zip(keys, is_known, strict=True) if is_one]
        others = [key for key, is_one in zip(keys, is_known, strict=True) if not is_one]
        found.append(_Known(known, _once(others)))
    return found


def _once(keys: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(keys))
