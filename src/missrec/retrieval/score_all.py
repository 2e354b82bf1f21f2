"""A search that scores every item with the model, until `exact` is there."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from missrec.retrieval.search import NO_ITEM, TopK, Wanted
from missrec.types import Recommender


class ScoreAll:
    """Scores all items of a small catalogue at once."""

    def __init__(self, model: nn.Module, item_ids: Tensor, key_ranks: Tensor) -> None:
        """Takes the items."""
        self._model = cast("Recommender", model)
        self._candidates = self._model.candidates(item_ids)
        self._by_key = key_ranks.argsort()

    def top_k(self, encoded: Tensor, *, k: int, wanted: Wanted) -> TopK:
        """See `Search`."""
        if k < 1:
            raise ValueError(f"k ({k}) must be at least 1")
        scores = self._model.score(encoded, self._candidates).double()
        if wanted.allowed is not None:
            scores[:, ~wanted.allowed] = -torch.inf
        if wanted.excluded_users is not None and wanted.excluded_items is not None:
            scores[wanted.excluded_users, wanted.excluded_items] = -torch.inf
        found = scores[:, self._by_key].sort(dim=1, descending=True, stable=True)
        items = self._by_key[found.indices[:, :k]]
        best = found.values[:, :k]
        return TopK(items.masked_fill(best == -torch.inf, NO_ITEM), best)
