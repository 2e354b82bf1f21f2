"""What the explorer shows of a recommender, as plain values for its page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import polars as pl

from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.pictures import Pictures
from missrec.serving.titles import TextSearch

Card: TypeAlias = dict[str, Any]
"""An item: `item`, its key, `title`, and `picture`, whether there is one; and what else is said."""

_SHARE = "share_"
_MAPPED = 1000
"""Interests on the map, the largest."""
_RECENT = 100
"""Items of a user's history, the latest."""


class Explorer:
    """A recommender, the pictures of its items, and how its interests came to be.

    One thread asks at a time.
    """

    def __init__(
        self,
        recommender: CatalogueRecommender,
        *,
        pictures: Pictures | None = None,
        epochs: Sequence[Mapping[str, float | None]] = (),
    ) -> None:
        """Keeps the parts.

        Args:
            recommender: what is explored.
            pictures: of its items.
            epochs: of its training: `epoch`, and what was noted as each began.
        """
        self.pictures = pictures or Pictures()
        self._recommender = recommender
        self._epochs = [dict(row) for row in epochs]
        self._with_parts_left_out = {frozenset[str](): recommender}

    def about(self) -> dict[str, Any]:
        """What there is to explore."""
        interests = self._interest_map
        modalities = () if interests is None else _names(interests)
        return {
            "items": len(self._recommender.items),
            "users": len(self._recommender.users),
            "pictures": len(self.pictures),
            "parts": list(self._recommender.parts),
            "modalities": list(modalities),
            "interests": 0 if interests is None else len(interests),
        }

    def find_items(self, text: str, *, limit: int) -> dict[str, Any]:
        """Items whose title or key has all words of a text."""
        found = self._item_search.find(text, limit=limit)
        keys = self._recommender.items["item"].gather(found.rows)
        return {"items": [self._card(key) for key in keys], "total": found.total}

    def find_users(self, text: str, *, limit: int) -> dict[str, Any]:
        """Users whose key has all words of a text."""
        found = self._user_search.find(text, limit=limit)
        users = self._recommender.users.gather(found.rows).to_list()
        return {"users": users, "total": found.total}

    def user(self, key: str) -> dict[str, Any]:
        """What a user had: `history` but for the last item, `next`, and how many came `earlier`.

        Raises:
            KeyError: the user is not known.
        """
        if key not in self._user_keys:
            raise KeyError(key)
        items = self._recommender.histories([key])[0].to_list()
        cards = [self._card(item) for item in items]
        history, last = (cards, None) if len(cards) < 2 else (cards[:-1], cards[-1])
        earlier = max(0, len(history) - _RECENT)
        return {"user": key, "history": history[earlier:], "next": last, "earlier": earlier}

    def recommend(
        self, history: Sequence[str], *, k: int, without: Collection[str] = ()
    ) -> dict[str, Any]:
        """The best items for a history.

        Args:
            history: keys, oldest first.
            k: items.
            without: parts of the scores to leave out.

        Returns:
            `items`: cards with `score` and `shares`; `unknown`: keys that no item has.

        Raises:
            ValueError: what is left out is no part of a score, or all of it.
        """
        unknown = self._recommender.unknown([history])["item"].to_list()
        known = [key for key in history if key not in unknown]
        if not known:
            return {"items": [], "unknown": unknown}
        found = self._without(frozenset(without)).recommend([known], k=k)
        return {"items": [self._scored(row) for row in found.iter_rows(named=True)]} | {
            "unknown": unknown
        }

    def explain(
        self, history: Sequence[str], item: str, *, without: Collection[str] = ()
    ) -> dict[str, Any]:
        """Why an item has its score: `parts`, `history` and `interests`, with their values.

        Args:
            history: keys, oldest first.
            item: its key.
            without: as in `recommend`.

        Raises:
            ValueError: the item is not known, or no item of the history is; or see `recommend`.
        """
        rows = self._without(frozenset(without)).explain(history, item)
        by_kind = {
            kind: rows.filter(kind=kind).drop("kind").to_dicts()
            for kind in ("score", "part", "history", "interest")
        }
        return {
            **self._card(item),
            "score": by_kind["score"][0]["value"],
            "parts": by_kind["part"],
            "history": [self._card(row["name"]) | row for row in by_kind["history"]],
            "interests": by_kind["interest"],
        }

    def similar(self, item: str, *, k: int) -> dict[str, Any]:
        """The items that are most similar to an item.

        Raises:
            KeyError: the item is not known.
        """
        card = self._card(item)
        found = self._recommender.similar([item], k=k)
        similar = [
            self._card(key) | {"score": score}
            for key, score in found.select("similar", "score").iter_rows()
        ]
        return card | {"similar": similar}

    def interests(self) -> dict[str, Any]:
        """The largest interests as points, with their share of each modality, and the epochs.

        Raises:
            KeyError: the model finds none.
        """
        if self._interest_map is None:
            raise KeyError("interests")
        shown = self._interest_map.head(_MAPPED)
        return {
            "interests": [_with_shares(row) for row in shown.iter_rows(named=True)],
            "total": len(self._interest_map),
            "epochs": self._epochs,
        }

    def interest(self, number: int, *, limit: int) -> dict[str, Any]:
        """The items of an interest, the most central first, each with its modalities in it.

        Raises:
            KeyError: there is no such interest.
        """
        if self._interest_map is None:
            raise KeyError(number)
        tokens = self._recommender.interests().filter(interest=number)
        if tokens.is_empty():
            raise KeyError(number)
        items = tokens.group_by("item", maintain_order=True).agg("modality")
        cards = [
            self._card(item) | {"modalities": modalities}
            for item, modalities in items.head(limit).iter_rows()
        ]
        row = self._interest_map.row(by_predicate=pl.col("interest") == number, named=True)
        return _with_shares(row) | {"items": cards, "total": len(items)}

    def _card(self, item: str) -> Card:
        return {"item": item, "title": self._titles[item], "picture": item in self.pictures}

    def _scored(self, row: Mapping[str, Any]) -> Card:
        found = _with_shares(row)
        return self._card(row["item"]) | {"score": row["score"], "shares": found["shares"]}

    def _without(self, parts: frozenset[str]) -> CatalogueRecommender:
        """The recommender without some parts of the scores; made on first use."""
        if parts not in self._with_parts_left_out:
            self._with_parts_left_out[parts] = self._recommender.without(parts)
        return self._with_parts_left_out[parts]

    @cached_property
    def _titles(self) -> dict[str, str]:
        return dict(self._recommender.items.iter_rows())

    @cached_property
    def _user_keys(self) -> frozenset[str]:
        return frozenset(self._recommender.users.to_list())

    @cached_property
    def _item_search(self) -> TextSearch:
        items = self._recommender.items
        return TextSearch(items["title"] + " " + items["item"])

    @cached_property
    def _user_search(self) -> TextSearch:
        return TextSearch(self._recommender.users)

    @cached_property
    def _interest_map(self) -> pl.DataFrame | None:
        try:
            return self._recommender.interest_map()
        except ValueError:  # the model finds none
            return None


def _names(frame: pl.DataFrame) -> list[str]:
    """What the columns of shares are of."""
    return [name.removeprefix(_SHARE) for name in frame.columns if name.startswith(_SHARE)]


def _with_shares(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose shares are one value."""
    shares = {name: value for name, value in row.items() if name.startswith(_SHARE)}
    others = {name: value for name, value in row.items() if name not in shares}
    return others | {"shares": {name.removeprefix(_SHARE): value for name, value in shares.items()}}
