"""The vectors of a whole catalogue, computed once, and the exact scores that follow from them.

N items, P pairs of a user and an item, Q parts of a score.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor

from missrec.nn.precision import full_precision
from missrec.retrieval.arithmetic import fusion_weights, inner
from missrec.types import HasItemVectors, ItemVectors

_ITEMS_PER_BLOCK = 8192
"""A product of one shape for all items: its size would change their last bits."""
_NUMBERS_AT_ONCE = 1 << 18
"""Of vectors scored exactly."""


class PairScores(NamedTuple):
    """Scores of P pairs of a user and an item.

    Attributes:
        total: (P,) float64, the sum of the parts in their order.
        parts: (Q, P) float64, what each part of `ItemTable.parts` adds.
    """

    total: Tensor
    parts: Tensor


class ItemTable:
    """Vectors of N items, kept in the order of their keys.

    An item has two numbers: its own in 0..N - 1, as everyone else counts it, and its place among
    the keys. Inside the searches places are used alone, so that of equal scores the lower place
    comes first.

    Attributes:
        vectors: of the items by place.
        items: (N,) int64, place -> item.
        places: (N,) int64, item -> place.
        parts: name of each part of a score: the modalities, `id` and `bias` where there are such.
    """

    def __init__(self, vectors: ItemVectors, *, key_ranks: Tensor) -> None:
        """Keeps vectors that lie in the order of the keys.

        Args:
            vectors: of N items by place.
            key_ranks: (N,) int64, place of each item among the sorted keys.

        Raises:
            ValueError: nothing makes a score, or `key_ranks` is no order of the items.
        """
        self.vectors = vectors
        self.places = key_ranks
        self.items = key_ranks.argsort(stable=True)
        self.parts = (
            *vectors.modalities,
            *(() if vectors.ids is None else ("id",)),
            *(() if vectors.bias is None else ("bias",)),
        )
        if not self.parts:
            raise ValueError("the items have no tokens, no ids and no bias to be scored by")
        if not self.places[self.items].equal(torch.arange(len(self), device=key_ranks.device)):
            raise ValueError("the ranks of the keys must be 0..N - 1, each once")

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        model: HasItemVectors,
        item_ids: Tensor,
        *,
        key_ranks: Tensor,
        items_per_block: int = _ITEMS_PER_BLOCK,
    ) -> ItemTable:
        """The table of a catalogue, computed in blocks of one size.

        Args:
            model: in evaluation mode.
            item_ids: (N,) as the model knows the items.
            key_ranks: (N,) int64, place of each item among the sorted keys.
            items_per_block: items whose vectors are computed at a time.

        Raises:
            ValueError: the catalogue is empty, or a vector is not finite.
        """
        if not len(item_ids):
            raise ValueError("there are no items to recommend")
        by_place = item_ids[key_ranks.argsort(stable=True)]
        vectors = _Filling(len(item_ids))
        with full_precision(item_ids.device.type):
            for start in range(0, len(by_place), items_per_block):
                block = by_place[start : start + items_per_block]
                # The last block is filled up: products of other shapes round otherwise.
                filled = torch.cat([block, block[-1:].expand(items_per_block - len(block))])
                vectors.add(start, len(block), model.item_vectors(filled))
        return cls(vectors.whole(), key_ranks=key_ranks)

    def without(self, parts: Collection[str]) -> ItemTable:
        """The table whose scores lack some parts; the fusion goes over the modalities that stay.

        Args:
            parts: some of `parts`.

        Raises:
            ValueError: one of them is no part, or they are all.
        """
        if others := sorted(set(parts) - set(self.parts)):
            raise ValueError(f"{others[0]!r} is no part of a score; parts: {', '.join(self.parts)}")
        if set(parts) == set(self.parts):
            raise ValueError(f"without {' and '.join(self.parts)} nothing of a score is left")
        vectors = self.vectors
        stay = [row for row, name in enumerate(vectors.modalities) if name not in parts]
        fewer = vectors._replace(
            modalities=tuple(vectors.modalities[row] for row in stay),
            tokens=vectors.tokens[stay],
            present=vectors.present[stay],
            ids=None if "id" in parts else vectors.ids,
            bias=None if "bias" in parts else vectors.bias,
        )
        return ItemTable(fewer, key_ranks=self.places)

    def __len__(self) -> int:
        """N."""
        return len(self.items)

    @property
    def width(self) -> int:
        """D."""
        ids = self.vectors.ids
        return self.vectors.tokens.shape[2] if ids is None else ids.shape[1]

    def pair_scores(self, encoded: Tensor, users: Tensor, items: Tensor) -> PairScores:
        """The exact scores of pairs, the same whatever pairs stand beside them.

        Args:
            encoded: (B, D) users from `encode`.
            users: (P,) int64, rows of `encoded`.
            items: (P,) int64 in 0..N - 1.
        """
        return self.pair_scores_at(encoded, users, self.places[items])

    def pair_scores_at(self, encoded: Tensor, users: Tensor, places: Tensor) -> PairScores:
        """As `pair_scores`, of items by their places (P,)."""
        encoded = encoded.float()
        size = max(1, _NUMBERS_AT_ONCE // max(1, encoded.shape[1]))
        parts = [
            self._parts(encoded[some], self.at(where))
            for some, where in zip(torch.split(users, size), torch.split(places, size), strict=True)
        ]
        joined = torch.cat(parts, dim=1)
        total = torch.zeros_like(joined[0])
        for part in joined:
            total = total + part
        return PairScores(total, joined)

    def at(self, places: Tensor | slice) -> ItemVectors:
        """The vectors of some places."""
        vectors = self.vectors
        return vectors._replace(
            tokens=_at(vectors.tokens, places, dim=1),
            present=_at(vectors.present, places, dim=1),
            alpha=_at(vectors.alpha, places) if vectors.alpha.ndim else vectors.alpha,
            ids=None if vectors.ids is None else _at(vectors.ids, places),
            bias=None if vectors.bias is None else _at(vectors.bias, places),
        )

    def _parts(self, users: Tensor, vectors: ItemVectors) -> Tensor:
        """(Q, P) float64 of users (P, D) and the vectors of one item each."""
        parts = []
        users = users.double()  # once for all parts
        if len(vectors.tokens):
            scores = torch.stack([inner(users, tokens) for tokens in vectors.tokens])
            weights = fusion_weights(scores, vectors.present, vectors.alpha)
            parts += list(vectors.modality_weight * (weights * scores))
        if vectors.ids is not None:
            parts.append(inner(users, vectors.ids))
        if vectors.bias is not None:
            parts.append(vectors.bias.double())
        return torch.stack(parts)


def _at(values: Tensor, places: Tensor | slice, *, dim: int = 0) -> Tensor:
    """Some places of dim 0 or 1, of scattered ones whole vectors at a time."""
    if isinstance(places, slice):
        return values[:, places] if dim else values[places]
    if not dim:
        return values.index_select(0, places)
    # Rows of a matrix: along another dim, `index_select` takes twice the time.
    firsts = torch.arange(len(values), device=places.device)[:, None] * values.shape[1]
    rows = values.flatten(0, 1).index_select(0, (firsts + places).flatten())
    return rows.view(len(values), len(places), *values.shape[2:])


class _Filling:
    """The vectors of a catalogue while its blocks come in."""

    def __init__(self, num_items: int) -> None:
        self._num_items = num_items
        self._whole: ItemVectors | None = None

    def add(self, start: int, count: int, block: ItemVectors) -> None:
        """The first `count` items of a block, which come behind the first `start`."""
        for name, values in block._asdict().items():
            if isinstance(values, Tensor) and not values.isfinite().all() and name != "alpha":
                raise ValueError(f"the model gives {name} of items that are not finite numbers")
        if self._whole is None:
            self._whole = block._replace(
                tokens=self._room(block.tokens, dim=1),
                present=self._room(block.present, dim=1),
                alpha=self._room(block.alpha, dim=0) if block.alpha.ndim else block.alpha,
                ids=None if block.ids is None else self._room(block.ids, dim=0),
                bias=None if block.bias is None else self._room(block.bias, dim=0),
            )
        whole, inside = self._whole, slice(start, start + count)
        whole.tokens[:, inside] = block.tokens[:, :count]
        whole.present[:, inside] = block.present[:, :count]
        if whole.alpha.ndim:
            whole.alpha[inside] = block.alpha[:count]
        if whole.ids is not None and block.ids is not None:
            whole.ids[inside] = block.ids[:count]
        if whole.bias is not None and block.bias is not None:
            whole.bias[inside] = block.bias[:count]

    def whole(self) -> ItemVectors:
        """All of them."""
        assert self._whole is not None
        return self._whole

    def _room(self, block: Tensor, *, dim: int) -> Tensor:
        """As the block, for all items along `dim`."""
        shape = list(block.shape)
        shape[dim] = self._num_items
        return block.new_empty(shape)
