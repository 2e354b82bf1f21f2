"""Search by falling bounds: any index of inner products in front of the exact scores."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from missrec.retrieval.best import Best, WantedPlaces
from missrec.retrieval.exact import ExactSearch, block_scores, candidates
from missrec.retrieval.rounding import Rounding
from missrec.retrieval.search import NO_ITEM, TopK, Wanted, checked_users
from missrec.retrieval.table import ItemTable

_ROWS_PER_ITEM_WANTED = 5
_GROWTH = 4
_LARGEST_SHARE = 8
"""Beyond one of so many rows of the index, scoring all items is faster than to go on."""


class RowIndex(Protocol):
    """An index of inner products over `CatalogueRows`.

    Attributes:
        is_exact: whether the rows are bounds, and none that is left out has a larger product than
            one that is found.
        most_rows: largest number of rows that can be asked for.
    """

    is_exact: bool
    most_rows: int

    def nearest(self, encoded: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
        """The rows with the largest inner products.

        Args:
            encoded: (B, D) users.
            count: of rows for each.

        Returns:
            (B, count) float32 products, falling, and (B, count) int64 places of their items;
            `NO_ITEM` at the end where there are no more rows.
        """


class BoundedSearch:
    """Takes rows by falling product, scores their items exactly, stops when no other can follow.

    **Proof**. The score of an item is at most the largest product of its rows (`CatalogueRows`).
    Say the index gave its first rows, the last of them with product b. A row that it did not give
    has a product of at most b, so an item none of whose rows was given scores at most b, plus the
    rounding of the index's float32 (`Rounding.bound_margin`). If the K-th exact score found so far
    is above that, no such item is among the best, nor equal to the K-th. With an exact index the
    result is therefore that of `ExactSearch`, to the last bit.

    **Approximate indexes** leave out rows that they should give, so the best may lack an item;
    the scores of what is found are exact. The first rows are taken as they are.

    Users whom so many rows do not serve, and users of a short list of allowed items, are left to
    `ExactSearch`.

    **Source**: Ding and Zhai, Efficient Retrieval with Learned Similarities (2024).
    """

    def __init__(
        self, table: ItemTable, index: RowIndex, *, exact: ExactSearch, first_rows: int = 0
    ) -> None:
        """Keeps the parts.

        Args:
            table: the catalogue.
            index: its rows.
            exact: a search over the same table.
            first_rows: taken for each user at first, at least; more find more where the index is
                approximate.
        """
        self._table = table
        self._index = index
        self._exact = exact
        self._first_rows = first_rows
        self._rounding = Rounding.of(table.vectors)

    @torch.no_grad()
    def top_k(self, encoded: Tensor, *, k: int, wanted: Wanted) -> TopK:
        """See `Search`."""
        encoded = checked_users(encoded, k=k).float()
        table, num_items = self._table, len(self._table)
        asked = WantedPlaces(wanted, items=table.items, places=table.places)
        best = Best(len(encoded), k=min(k, num_items), device=encoded.device)
        if asked.num_allowed < num_items // _LARGEST_SHARE:
            return self._exact.top_k(encoded, k=k, wanted=wanted)
        count = max(_ROWS_PER_ITEM_WANTED * k, self._first_rows)
        count = count * num_items // asked.num_allowed
        largest = max(count, num_items // _LARGEST_SHARE)
        open_users = torch.arange(len(encoded), device=encoded.device)
        margin = self._rounding.bound_margin(encoded.double().norm(dim=1))
        while len(open_users) and count <= min(largest, self._index.most_rows):
            bounds, places = self._index.nearest(encoded[open_users], count=count)
            self._add(encoded, open_users, places, asked, best)
            if self._index.is_exact:
                is_done = best.lowest[open_users] > bounds[:, -1].double() + margin[open_users]
            else:
                is_done = best.places[open_users, -1] != NO_ITEM
            open_users = open_users[~is_done]
            count *= _GROWTH
        found = best.as_items(table.items, k=k)
        if not len(open_users):
            return found
        rest = self._exact.top_k(encoded[open_users], k=k, wanted=wanted.of_users(open_users))
        found.items[open_users], found.scores[open_users] = rest
        return found

    def _add(
        self, encoded: Tensor, users: Tensor, places: Tensor, asked: WantedPlaces, best: Best
    ) -> None:
        """Scores the items of rows (B', count) of some users (B',), each item once."""
        places = places.sort(dim=1).values
        is_new = places != NO_ITEM
        is_new[:, 1:] &= places[:, 1:] != places[:, :-1]
        is_new &= asked.keeps(users[:, None], places)
        is_new &= ~best.holds(users[:, None], places)
        scores = pair_scores(encoded, users, self._table, places)
        margin = self._rounding.margin(encoded[users].double().norm(dim=1))
        rows, columns = candidates(
            scores.masked_fill(~is_new, -math.inf),
            k=best.k,
            lowest=best.lowest[users],
            margin=margin,
        )
        owners, places = users[rows], places[rows, columns]
        best.add(owners, places, self._table.pair_scores_at(encoded, owners, places).total)


def pair_scores(encoded: Tensor, users: Tensor, table: ItemTable, places: Tensor) -> Tensor:
    """(B', C) float32 scores of users (B',), each with items of its own at places (B', C)."""
    scores = []
    for user, own in zip(encoded[users], places.clamp_min(0), strict=True):
        scores.append(block_scores(user[None], table.at(own)))
    return torch.cat(scores)
