"""What a recommender answers to the requests of a shard, under the callers' own keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from missrec.retrieval.batch.requests import Requests
from missrec.retrieval.recommender import CatalogueRecommender

HISTORY, ITEM, LIST, SCORE, SIMILAR = "history", "item", "list", "score", "similar"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted for each request.

    Attributes:
        what: the requests are: `user`, `history`, or `item`, for which others are similar.
        k: items for each.
        exclude_seen: no items of the history.
        allow: only these items; None for all.
        block: none of these.
        lists: name -> items, k out of each; None for one list of all items.
        vectors: whether the vectors of users are wanted too.
        batch_size: requests that are answered at a time.
    """

    what: str
    k: int
    exclude_seen: bool
    allow: Sequence[str] | None
    block: Sequence[str] | None
    lists: Mapping[str, Sequence[str]] | None
    vectors: bool
    batch_size: int


def answers(recommender: CatalogueRecommender, requests: Requests, wish: Wish) -> pl.DataFrame:
    """The items for each request, best first, in the order of the requests.

    Returns:
        The key in a column of the name `wish.what`; then `list` where lists are wanted, `rank`,
        `item` (or `similar`), `score`, and `share_<modality>`.
    """
    if wish.what == ITEM:
        return recommender.similar(requests.keys, k=wish.k)
    asked = partial(
        recommender.recommend_in_batches,
        k=wish.k,
        exclude_seen=wish.exclude_seen,
        allow=wish.allow,
        block=wish.block,
        lists=wish.lists,
        batch_size=wish.batch_size,
    )
    # Without a request there are the columns all the same.
    found = pl.concat(asked(requests.histories or [[]]))
    return _keyed(found, requests, wish.what)


def user_vectors(recommender: CatalogueRecommender, requests: Requests, wish: Wish) -> pl.DataFrame:
    """The vector of each request with a known item: its key, and `vector`."""
    return _keyed(recommender.encode(requests.histories), requests, wish.what)


def _keyed(found: pl.DataFrame, requests: Requests, what: str) -> pl.DataFrame:
    """The key of each history for its place."""
    keys = pl.Series(what, requests.keys, dtype=pl.String).gather(found[HISTORY])
    return pl.DataFrame([keys, *found.drop(HISTORY)])
