"""The best items of each user among those that were scored so far.

B users, K items for each, P pairs. Items are known by their place among the keys, so of equal
scores the lower place is the better one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from missrec.retrieval.search import NO_ITEM, TopK, Wanted


class Best:
    """Holds the K best places of each user.

    Attributes:
        scores: (B, K) float64, best first; -inf where there is none yet.
        places: (B, K) int64; `NO_ITEM` where there is none yet.
    """

    def __init__(self, num_users: int, *, k: int, device: torch.device) -> None:
        """Starts with none.

        Args:
            num_users: B.
            k: K, 1 or more.
            device: of the scores.
        """
        self.scores = torch.full((num_users, k), -math.inf, dtype=torch.float64, device=device)
        self.places = torch.full((num_users, k), NO_ITEM, device=device)

    @property
    def k(self) -> int:
        """K."""
        return self.scores.shape[1]

    @property
    def lowest(self) -> Tensor:
        """(B,) float64, the K-th score of each user; -inf while there are fewer."""
        return self.scores[:, -1]

    def add(self, users: Tensor, places: Tensor, scores: Tensor) -> None:
        """Takes what is better than what is held.

        Args:
            users: (P,) int64 rows.
            places: (P,) int64; of one user each at most once, and none that is held.
            scores: (P,) float64.
        """
        num_users, k = self.scores.shape
        if not len(users):
            return
        users = torch.cat(
            [torch.arange(num_users, device=users.device).repeat_interleave(k), users]
        )
        places = torch.cat([self.places.flatten(), places])
        scores = torch.cat([self.scores.flatten(), scores])
        # By user, then by falling score, then by place: the last sort counts most.
        order = places.argsort(stable=True)
        order = order[scores[order].argsort(descending=True, stable=True)]
        order = order[users[order].argsort(stable=True)]
        counts = users.bincount(minlength=num_users)
        firsts = counts.cumsum(0) - counts
        kept = order[firsts[:, None] + torch.arange(k, device=order.device)]
        self.scores, self.places = scores[kept], places[kept]

    def holds(self, users: Tensor, places: Tensor) -> Tensor:
        """Bool of the shape of `places`, True where one is held for the user beside it."""
        if self.places.numel() == 0 or bool((self.places == NO_ITEM).all()):
            return torch.zeros_like(places, dtype=torch.bool)
        base = int(torch.maximum(places.max(), self.places.max())) + 1
        rows = torch.arange(len(self.places), device=places.device)[:, None]
        held = (rows * base + self.places)[self.places != NO_ITEM]
        return torch.isin(users * base + places, held)

    def as_items(self, items: Tensor, *, k: int) -> TopK:
        """What was asked for.

        Args:
            items: (N,) int64, place -> item.
            k: columns; those beyond K hold no item.
        """
        found = torch.where(self.places == NO_ITEM, NO_ITEM, items[self.places])
        more = max(0, k - found.shape[1])
        pad = torch.nn.functional.pad
        return TopK(
            pad(found, (0, more), value=NO_ITEM), pad(self.scores, (0, more), value=-math.inf)
        )


class WantedPlaces:
    """`Wanted`, by place.

    Attributes:
        allowed: (N,) bool by place; None allows all.
        num_allowed: how many.
    """

    def __init__(self, wanted: Wanted, *, items: Tensor, places: Tensor) -> None:
        """Translates.

        Args:
            wanted: by item.
            items: (N,) int64, place -> item.
            places: (N,) int64, item -> place.
        """
        self._num_items = len(items)
        self.allowed = None if wanted.allowed is None else wanted.allowed[items]
        self.num_allowed = len(items) if self.allowed is None else int(self.allowed.sum())
        self._excluded_users = torch.zeros(0, dtype=torch.int64, device=items.device)
        self._excluded_places = self._excluded_users
        if wanted.excluded_users is not None and wanted.excluded_items is not None:
            self._excluded_users = wanted.excluded_users
            self._excluded_places = places[wanted.excluded_items]
        self._excluded = self._pairs(self._excluded_users, self._excluded_places)

    def places_of(self, start: int, stop: int) -> slice | Tensor:
        """Places start..stop - 1, or the allowed ones of them, ascending, where those are few."""
        if self.allowed is None:
            return slice(start, stop)
        inside = self.allowed[start:stop].nonzero().squeeze(1) + start
        return inside if len(inside) < (stop - start) // 2 else slice(start, stop)

    def only_wanted(self, scores: Tensor, where: slice | Tensor) -> Tensor:
        """The scores (B, C) of `places_of`, -inf where an item is not wanted."""
        if isinstance(where, slice):
            if self.allowed is not None:
                scores = scores.masked_fill(~self.allowed[where], -math.inf)
            where = torch.arange(where.start, where.stop, device=scores.device)
        if not len(where):
            return scores
        columns = torch.searchsorted(where, self._excluded_places).clamp_max(len(where) - 1)
        inside = where[columns] == self._excluded_places
        if not inside.any():
            return scores
        pairs = self._excluded_users[inside], columns[inside]
        return scores.index_put(pairs, scores.new_tensor(-math.inf))

    def keeps(self, users: Tensor, places: Tensor) -> Tensor:
        """(P,) bool, True where a user may get an item."""
        kept = ~torch.isin(self._pairs(users, places), self._excluded)
        return kept if self.allowed is None else kept & self.allowed[places]

    def _pairs(self, users: Tensor, places: Tensor) -> Tensor:
        """(P,) int64, a number for each pair."""
        return users * self._num_items + places
