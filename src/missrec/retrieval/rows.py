"""A catalogue as rows whose inner products with a user bound, or are near, the scores of its items.

N items, R rows, B users.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors

_ITEMS_PER_BLOCK = 8192


_SMALL_ALPHA = 2.0
"""Up to it, means are nearer to the scores of real items than bounds are: docs/retrieval.md."""


class RowBlock(NamedTuple):
    """Some of the rows.

    Attributes:
        vectors: (R', D) float32, with one more column, the bias, where there is one.
        places: (R',) int64, place of the item of each row.
    """

    vectors: Tensor
    places: Tensor


class CatalogueRows:
    """The rows that an index of inner products holds for a table.

    **Bounds**. With r_m = modality_weight * s_m + <u, ids> + bias, the score of an item is a mean
    of its r_m with the weights softmax(beta r_m), beta = alpha / modality_weight. So it is at most
    the largest r_m: a row for each modality. Where beta <= 0 the weights fall as r_m rises, and
    the score is at most their plain mean: one row, which at beta = 0 is the score itself. An item
    without any modality has one row too, its id.

    **Means** are one row for every item. They bound nothing where alpha is above 0, but are nearer
    to the scores while it is small: an approximate index finds more with half of the rows.

    Attributes:
        table: the catalogue.
        means: whether every item has one row.
        are_bounds: whether the largest product of an item's rows is at least its score.
    """

    def __init__(self, table: ItemTable, *, means: bool = False) -> None:
        """Takes a table.

        Args:
            table: the catalogue.
            means: one row for every item.
        """
        self.table = table
        self.means = means
        self.are_bounds = not means or bool(self._mean_bounds(table.vectors).all())

    def __len__(self) -> int:
        """R."""
        has_mean = self._has_mean(self.table.vectors)
        return int(has_mean.sum() + self.table.vectors.present[:, ~has_mean].sum())

    @property
    def width(self) -> int:
        """Columns of rows and queries."""
        return self.table.width + (self.table.vectors.bias is not None)

    def queries(self, encoded: Tensor) -> Tensor:
        """(B, D) float32 users as the rows meet them; 1 in the column of the bias."""
        encoded = encoded.float()
        if self.table.vectors.bias is None:
            return encoded
        return torch.cat([encoded, encoded.new_ones(len(encoded), 1)], dim=1)

    def blocks(self, *, items_per_block: int = _ITEMS_PER_BLOCK) -> Iterator[RowBlock]:
        """All rows, those of some items at a time by rising place."""
        for start in range(0, len(self.table), items_per_block):
            vectors = self.table.at(slice(start, start + items_per_block))
            has_mean = self._has_mean(vectors)
            counts = vectors.present.sum(dim=0).clamp_min(1)[:, None]
            tokens = [(vectors.tokens.sum(dim=0) / counts)[has_mean]]
            owners = [has_mean.nonzero().squeeze(1)]
            for modality, present in zip(vectors.tokens, vectors.present, strict=True):
                owners.append((present & ~has_mean).nonzero().squeeze(1))
                tokens.append(modality[owners[-1]])
            owner = torch.cat(owners)
            rows = vectors.modality_weight * torch.cat(tokens)
            if vectors.ids is not None:
                rows = rows + vectors.ids[owner]
            if vectors.bias is not None:
                rows = torch.cat([rows, vectors.bias[owner, None]], dim=1)
            yield RowBlock(rows, owner + start)

    @cached_property
    def signature(self) -> str:
        """sha256 of all that the rows are made of, for an index that outlives them.

        It reads the whole table, which nothing changes.
        """
        vectors = self.table.vectors
        facts = (vectors.modalities, vectors.modality_weight, self.means)
        content = hashlib.sha256(repr(facts).encode())
        tensors = (*vectors.tokens, vectors.present, vectors.alpha, vectors.ids, vectors.bias)
        for tensor in tensors:
            if tensor is not None:
                content.update(tensor.cpu().contiguous().numpy().data)
        return content.hexdigest()

    def _has_mean(self, vectors: ItemVectors) -> Tensor:
        """(C,) bool, True = the item has one row, its mean."""
        mean_bounds = self._mean_bounds(vectors)
        return torch.ones_like(mean_bounds) if self.means else mean_bounds

    @staticmethod
    def _mean_bounds(vectors: ItemVectors) -> Tensor:
        """(C,) bool, True = the mean of the item is a bound."""
        falls = vectors.alpha * vectors.modality_weight <= 0
        return falls | (vectors.present.sum(dim=0) <= 1)


def means_are_near(table: ItemTable) -> bool:
    """Whether an approximate index finds more by `means`."""
    return bool((table.vectors.alpha <= _SMALL_ALPHA).all())
