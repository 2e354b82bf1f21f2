"""Ranks of targets among all items of a domain, in tiles of users x items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from missrec.metrics.ranking import TargetRanks, count_ranks
from missrec.nn.precision import full_precision, single
from missrec.types import DomainSpan, Recommender, SequenceBatch

_USERS_AT_ONCE = 16384
"""Users waiting to be ranked; each such group reads the whole catalogue once or twice."""


class DomainRanking:
    """Ranks users over one domain; never holds a users x items matrix.

    Users are encoded as they come and ranked in groups. A group goes through the catalogue block
    by block, so that candidates and scores exist only for a block of items. A catalogue of
    one block is computed once for all groups.

    The score of a target is taken from the tile that it is in, not computed on its own: what
    equals it must do so to the last bit. With several blocks, tiles that hold targets are
    therefore computed before the others; users are sorted by target, so those are few.
    """

    def __init__(
        self,
        model: Recommender,
        span: DomainSpan,
        *,
        users_per_tile: int,
        items_per_tile: int,
        filter_seen: bool,
        device: torch.device,
    ) -> None:
        """Starts without users.

        Args:
            model: encodes users and scores items; must not change until `finish`.
            span: the items.
            users_per_tile: users scored at a time.
            items_per_tile: items scored at a time.
            filter_seen: leave items of the history out, the target excepted.
            device: of the model.
        """
        self._model = model
        self._device_type = device.type
        self._users_per_tile = users_per_tile
        self._filter_seen = filter_seen
        items = torch.arange(span.first_item, span.last_item + 1, device=device)
        self._blocks = _split(items, items_per_tile)
        self._whole: Any = None
        if len(self._blocks) == 1:
            with full_precision(device.type):
                self._whole = model.candidates(items)
        self._encoded: list[Tensor] = []
        self._batches: list[SequenceBatch] = []
        self._ranked: list[TargetRanks] = []

    def add(self, batch: SequenceBatch) -> None:
        """Encodes the users of a batch, whose targets are items of the domain."""
        self._encoded.append(single(self._model.encode(batch)))
        self._batches.append(batch)
        if sum(map(len, self._encoded)) >= _USERS_AT_ONCE:
            self._rank()

    def finish(self) -> list[TargetRanks]:
        """The ranks of all users, in any order.

        Raises:
            ValueError: a score is NaN.
        """
        if self._encoded:
            self._rank()
        return self._ranked

    def _rank(self) -> None:
        # A trainer of mixed precision would round the scores, and make ties of what is none.
        with full_precision(self._device_type):
            self._rank_in_full_precision()

    def _rank_in_full_precision(self) -> None:
        users = _Users.of(self._encoded, self._batches)
        self._encoded, self._batches = [], []
        tiles = _split(users.rows, self._users_per_tile)
        for items in self._blocks if self._whole is None else []:
            holders = [tile for tile in tiles if users.has_target_in(tile, items)]
            candidates = self._model.candidates(items) if holders else None
            for tile in holders:
                users.find_targets(tile, items, self._scores(users, tile, items, candidates))
        for items in self._blocks:
            candidates = self._model.candidates(items) if self._whole is None else self._whole
            for tile in tiles:
                scores = self._scores(users, tile, items, candidates)
                if self._whole is not None:
                    users.find_targets(tile, items, scores)
                users.count(tile, scores)
        self._ranked.append(users.ranks())

    def _scores(self, users: _Users, tile: Tensor, items: Tensor, candidates: Any) -> Tensor:
        """(B, C) of the users `tile` and the items of a block; seen items at -inf."""
        scores = self._model.score(users.encoded[tile], candidates)
        if not self._filter_seen:
            return scores
        seen = users.histories[tile] - items[0]  # (B, L)
        inside = (seen >= 0) & (seen < len(items))
        inside &= users.histories[tile] != users.target_ids[tile, None]
        rows, places = inside.nonzero(as_tuple=True)
        return scores.index_put((rows, seen[rows, places]), scores.new_tensor(float("-inf")))


class _Users:
    """A group of users by rising target id, and what has been counted of them so far."""

    def __init__(
        self, encoded: Tensor, user_ids: Tensor, target_ids: Tensor, histories: Tensor
    ) -> None:
        order = target_ids.argsort(stable=True)
        self.encoded = encoded[order]
        self.target_ids = target_ids[order]
        self.histories = histories[order]
        self.rows = torch.arange(len(order), device=order.device)
        self._user_ids = user_ids[order]
        self._target_scores = torch.full_like(order, torch.nan, dtype=torch.float64)
        self._greater = torch.zeros_like(order)
        self._equal = torch.full_like(order, -1)  # the target itself will be counted

    @classmethod
    def of(cls, encoded: list[Tensor], batches: list[SequenceBatch]) -> _Users:
        """The users of several batches, whose histories differ in length."""
        width = max(batch.item_ids.shape[1] for batch in batches)
        histories = [
            torch.nn.functional.pad(batch.item_ids, (0, width - batch.item_ids.shape[1]))
            for batch in batches
        ]
        return cls(
            torch.cat(encoded),
            torch.cat([batch.user_ids for batch in batches]),
            torch.cat([batch.target_ids for batch in batches]),
            torch.cat(histories),
        )

    def has_target_in(self, tile: Tensor, items: Tensor) -> bool:
        """Whether a user of the tile has its target among the items."""
        first, last = self.target_ids[tile[0]], self.target_ids[tile[-1]]
        return bool((first <= items[-1]) & (last >= items[0]))

    def find_targets(self, tile: Tensor, items: Tensor, scores: Tensor) -> None:
        """Notes the scores of the targets that are among the items."""
        columns = self.target_ids[tile] - items[0]
        inside = (columns >= 0) & (columns < len(items))
        found = scores.gather(1, columns.clamp(0, len(items) - 1)[:, None]).squeeze(1)
        self._target_scores[tile] = torch.where(inside, found.double(), self._target_scores[tile])

    def count(self, tile: Tensor, scores: Tensor) -> None:
        """Counts the items of a tile that score above the target, and equal to it."""
        greater, equal = count_ranks(scores, self._target_scores[tile].to(scores.dtype))
        self._greater[tile] += greater
        self._equal[tile] += equal

    def ranks(self) -> TargetRanks:
        """Of all users of the group, once all items were counted."""
        return TargetRanks(self._user_ids, self.target_ids, self._greater, self._equal)


def _split(rows: Tensor, size: int) -> list[Tensor]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
