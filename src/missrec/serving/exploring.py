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
        maps: pl.DataFrame | None = None,
    ) -> None:
        """Keeps the parts.

        Args:
            recommender: what is explored.
            pictures: of its items.
            epochs: of its training: `epoch`, and what was noted as each began.
            maps: the interests of these epochs: `epoch`, `interest`, `size`, `x`, `y` and
                `<modality>_share`; None where they were not noted.
        """
        self.pictures = pictures or Pictures()
        self._recommender = recommender
        self._epochs = [dict(row) for row in epochs]
        self._maps = maps
        self._with_parts_left_out = {frozenset[str](): recommender}

    def prepare(self) -> Explorer:
        """Itself, once all is made that would have the first view wait."""
        self.about()
        self.find_items("", limit=1)
        self.find_users("", limit=1)
        return self

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
        keys = self._recommender.items["item"].gather(found.rows).to_list()
        return {"items": self._cards(keys), "total": found.total}

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
        cards = self._cards(items[-_RECENT - 1 :])
        history, last = (cards, None) if len(cards) < 2 else (cards[:-1], cards[-1])
        earlier = max(0, len(items) - 1 - len(history))
        return {"user": key, "history": history, "next": last, "earlier": earlier}

    def recommend(
        self, history: Sequence[str], *, k: int, without: Collection[str] = ()
    ) -> dict[str, Any]:
        """The best items for a history.

        Args:
            history: keys, oldest first.
            k: items.
            without: parts of the scores to leave out.

        Returns:
            `items`: cards with `score` and `shares`; `unknown`: keys that no item has;
            `measures` of the list, see `CatalogueRecommender.measure`.

        Raises:
            ValueError: what is left out is no part of a score, or all of it.
        """
        unknown = self._recommender.unknown([history])["item"].to_list()
        known = [key for key in history if key not in unknown]
        if not known:
            return {"items": [], "unknown": unknown, "measures": {}}
        found = self._without(frozenset(without)).recommend([known], k=k)
        items = found["item"].to_list()
        cards = self._cards(items)
        rows = map(_with_shares, found.iter_rows(named=True))
        scored = [
            card | {"score": row["score"], "shares": row["shares"]}
            for card, row in zip(cards, rows, strict=True)
        ]
        measures = self._recommender.measure(items)
        return {"items": scored, "unknown": unknown, "measures": measures}

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
        read = self._cards([row["name"] for row in by_kind["history"]])
        values = [{"value": row["value"]} for row in by_kind["history"]]
        return {
            **self._cards([item])[0],
            "score": by_kind["score"][0]["value"],
            "parts": by_kind["part"],
            "history": [card | value for card, value in zip(read, values, strict=True)],
            "interests": by_kind["interest"],
        }

    def similar(self, item: str, *, k: int) -> dict[str, Any]:
        """The items that are most similar to an item.

        Raises:
            KeyError: the item is not known.
        """
        (card,) = self._cards([item])
        found = self._recommender.similar([item], k=k)
        cards = zip(self._cards(found["similar"].to_list()), found["score"], strict=True)
        return card | {"similar": [similar | {"score": score} for similar, score in cards]}

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
            "maps": self._maps_by_epoch,
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
        shown = items.head(limit)
        cards = [
            card | {"modalities": modalities}
            for card, modalities in zip(
                self._cards(shown["item"].to_list()), shown["modality"].to_list(), strict=True
            )
        ]
        row = self._interest_map.row(by_predicate=pl.col("interest") == number, named=True)
        return _with_shares(row) | {"items": cards, "total": len(items)}

    def _cards(self, items: Sequence[str]) -> list[Card]:
        """What is shown of items.

        Raises:
            KeyError: one of them is not known.
        """
        titles = self._recommender.titles(items).to_list()
        if None in titles:
            raise KeyError(items[titles.index(None)])
        return [
            {"item": item, "title": title, "picture": item in self.pictures}
            for item, title in zip(items, titles, strict=True)
        ]

    def _without(self, parts: frozenset[str]) -> CatalogueRecommender:
        """The recommender without some parts of the scores; made on first use."""
        if parts not in self._with_parts_left_out:
            self._with_parts_left_out[parts] = self._recommender.without(parts)
        return self._with_parts_left_out[parts]

    @cached_property
    def _maps_by_epoch(self) -> list[dict[str, Any]]:
        """Of each epoch its number and its `interests`, as those of the map."""
        if self._maps is None or self._maps.is_empty():
            return []
        shares = {name: _SHARE + name.removesuffix("_share") for name in self._maps.columns[5:]}
        by_epoch = self._maps.rename(shares).partition_by("epoch", maintain_order=True)
        return [
            {
                "epoch": rows["epoch"][0],
                "interests": [
                    _with_shares(row) for row in rows.drop("epoch").iter_rows(named=True)
                ],
            }
            for rows in by_epoch
        ]

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
