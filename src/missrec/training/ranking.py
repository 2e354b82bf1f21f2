"""Ranks of targets among all items of a domain, in tiles of users x items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from missrec.metrics.ranking import TargetRanks, count_ranks
from missrec.nn.precision import full_precision, single
from missrec.types import DomainSpan, Recommender, SequenceBatch

_USERS_AT_ONCE, _BYTES_AT_ONCE = 16384, 256 * 2**20
"""Of users waiting to be ranked; each such group reads the whole catalogue once, or twice. What
neighbors vote of a user is a row over all items, so not many of those may wait."""
_USERS_TOGETHER = 128
"""That a CPU encodes at a time: what a layer makes of them stays small."""
_CPU_TILE = (256, 1024)
"""Users and items that a CPU scores at a time, so that their scores stay in its cache."""
_MARGIN = 1e-5
"""Of the largest score of a user: how far that of a target may lie from the same computed alone."""
_MOST_BETWEEN = 256
"""Scores near the target that are kept of a user, in the mean over the users of a group."""


class DomainRanking:
    """Ranks users over one domain; never holds a users x items matrix.

    Users are encoded as they come and ranked in groups. A group goes through the catalogue block
    by block, so that candidates and scores exist only for a block of items. The candidates of a
    catalogue of no more than `items_per_tile` are computed once for all groups. A CPU scores
    smaller blocks than it is told to, which fit into its cache.

    The score of a target is taken from the tile that it is in, not computed on its own: what
    equals it must do so to the last bit. With several blocks the score is not yet known in those
    that come before. There, targets computed on their own tell what is surely above or below, and
    the few scores between are kept until the end. Where they are not few, as those of a model
    that gives whole numbers, tiles that hold targets are computed before the others.
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
            users_per_tile: users scored at a time, at the most.
            items_per_tile: items scored at a time, at the most.
            filter_seen: leave items of the history out, the target excepted.
            device: of the model.
        """
        self._model = model
        self._device_type = device.type
        self._filter_seen = filter_seen
        items = torch.arange(span.first_item, span.last_item + 1, device=device)
        users_of_tile, items_of_tile = users_per_tile, items_per_tile
        if device.type == "cpu":
            users_of_tile, items_of_tile = map(min, _CPU_TILE, (users_per_tile, items_per_tile))
        self._users_per_tile = users_of_tile
        self._blocks = _split(items, items_of_tile)
        self._held: list[Any] = []
        if len(items) <= items_per_tile:
            with full_precision(device.type):
                self._held = [model.candidates(block) for block in self._blocks]
        self._encoded: list[Tensor] = []
        self._batches: list[SequenceBatch] = []
        self._ranked: list[TargetRanks] = []

    def add(self, batch: SequenceBatch) -> None:
        """Encodes the users of a batch, whose targets are items of the domain."""
        self._encoded.append(encode_users(self._model, batch))
        self._batches.append(batch)
        num_users = sum(map(len, self._encoded))
        num_bytes = sum(part.nbytes for part in self._encoded)
        if num_users >= _USERS_AT_ONCE or num_bytes >= _BYTES_AT_ONCE:
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
        if len(self._blocks) == 1:
            for tile in tiles:
                scores = self._scores(users, tile, self._blocks[0], self._held[0])
                users.find_targets(tile, self._blocks[0], scores)
                users.count(tile, scores)
        elif not self._count_around(users, tiles):
            self._count_twice(users, tiles)
        self._ranked.append(users.ranks())

    def _count_around(self, users: _Users, tiles: list[Tensor]) -> bool:
        """Counts with each tile computed once; False if that cannot tell the ranks."""
        for tile in tiles:
            targets = users.target_ids[tile]
            candidates = self._model.candidates(targets)
            users.expect(tile, self._model.score(users.encoded[tile], candidates))
        for items, candidates in self._catalogue():
            for tile in tiles:
                scores = self._scores(users, tile, items, candidates)
                users.find_targets(tile, items, scores)
                if not users.count_around(tile, scores):
                    return False
        return users.settle()

    def _count_twice(self, users: _Users, tiles: list[Tensor]) -> None:
        """Counts after the targets were found."""
        users.forget()
        for place, items in enumerate(self._blocks):
            holders = [tile for tile in tiles if users.has_target_in(tile, items)]
            candidates = self._candidates(place) if holders else None
            for tile in holders:
                users.find_targets(tile, items, self._scores(users, tile, items, candidates))
        for items, candidates in self._catalogue():
            for tile in tiles:
                users.count(tile, self._scores(users, tile, items, candidates))

    def _catalogue(self) -> Iterator[tuple[Tensor, Any]]:
        """The items of each block, and they as candidates."""
        for place, items in enumerate(self._blocks):
            yield items, self._candidates(place)

    def _candidates(self, place: int) -> Any:
        return self._held[place] if self._held else self._model.candidates(self._blocks[place])

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
        self.forget()

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

    def forget(self) -> None:
        """Starts to count anew."""
        self._greater = torch.zeros_like(self.rows)
        self._equal = torch.full_like(self.rows, -1)  # the target itself will be counted
        self._lowest = torch.zeros_like(self._target_scores)
        self._highest = torch.zeros_like(self._target_scores)
        self._between: list[tuple[Tensor, Tensor]] = []
        self._num_between = 0

    def expect(self, tile: Tensor, scores: Tensor) -> None:
        """Notes between what the scores of the targets will lie; scores (B, B) of the targets."""
        margin, expected = _MARGIN * scores.abs().amax(dim=1), scores.diagonal()
        self._lowest[tile] = (expected - margin).double()
        self._highest[tile] = (expected + margin).double()

    def count_around(self, tile: Tensor, scores: Tensor) -> bool:
        """Counts what is surely above the target, keeps what may be; False if that is too much."""
        lowest = self._lowest[tile].to(scores.dtype)
        highest = self._highest[tile].to(scores.dtype)
        above, between = count_ranks(scores, highest, lowest=lowest)
        self._num_between += int(between.sum())
        if self._num_between > _MOST_BETWEEN * len(self.rows):
            return False
        self._greater[tile] += above
        some = between.nonzero().squeeze(1)
        near = scores[some]
        inside = (near >= lowest[some, None]) & (near <= highest[some, None])
        row, column = inside.nonzero(as_tuple=True)
        self._between.append((tile[some[row]], near[row, column]))
        return True

    def settle(self) -> bool:
        """Counts what was kept; False if a target lies elsewhere than was expected."""
        found = self._target_scores
        if not ((self._lowest <= found) & (found <= self._highest)).all():
            return False
        for rows, scores in self._between:
            self._greater.index_add_(0, rows, (scores > found[rows]).long())
            self._equal.index_add_(0, rows, (scores == found[rows]).long())
        return True

    def count(self, tile: Tensor, scores: Tensor) -> None:
        """Counts the items of a tile that score above the target, and equal to it."""
        greater, equal = count_ranks(scores, self._target_scores[tile].to(scores.dtype))
        self._greater[tile] += greater
        self._equal[tile] += equal

    def ranks(self) -> TargetRanks:
        """Of all users of the group, once all items were counted."""
        return TargetRanks(self._user_ids, self.target_ids, self._greater, self._equal)


def encode_users(model: Recommender, batch: SequenceBatch) -> Tensor:
    """(B, ...) the users of a batch as the model's `encode` has them, in single precision.

    On a CPU they are cut into parts, each as long as its longest history: of users by their
    lengths, the longest ones alone are read as wide as they are.
    """
    if batch.item_ids.device.type != "cpu":
        return single(model.encode(batch))
    encoded = []
    for rows in _split(torch.arange(len(batch.user_ids)), _USERS_TOGETHER):
        part = SequenceBatch(*(column[rows] for column in batch))
        longest = max(1, int(part.valid_mask.sum(dim=1).max()))
        encoded.append(single(model.encode(part._replace(item_ids=part.item_ids[:, :longest]))))
    return torch.cat(encoded)


def _split(rows: Tensor, most: int) -> list[Tensor]:
    """The rows in parts about as long as each other.

    A few by themselves would be multiplied by other kernels: an item there would not tie with its
    equal elsewhere.
    """
    return list(rows.tensor_split(max(1, -(-len(rows) // most))))
