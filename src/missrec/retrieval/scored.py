"""Search with a model whose scores follow from no vectors: the model scores every item."""

from __future__ import annotations

import torch
from torch import Tensor

from missrec.nn.precision import full_precision
from missrec.retrieval.best import Best, WantedPlaces
from missrec.retrieval.exact import candidates
from missrec.retrieval.search import TopK, Wanted, checked_users
from missrec.types import Recommender

_ITEMS_PER_BLOCK = 8192


class ScoredSearch:
    """The best items by `score`, the catalogue in blocks; a score is what the model says it is."""

    def __init__(
        self,
        model: Recommender,
        item_ids: Tensor,
        *,
        key_ranks: Tensor,
        items_per_block: int = _ITEMS_PER_BLOCK,
    ) -> None:
        """Keeps the model.

        Args:
            model: in evaluation mode.
            item_ids: (N,) as the model knows the items.
            key_ranks: (N,) int64, place of each item among the sorted keys.
            items_per_block: items scored at a time.

        Raises:
            ValueError: the catalogue is empty.
        """
        if not len(item_ids):
            raise ValueError("there are no items to recommend")
        self._model = model
        self._places = key_ranks
        self._items = key_ranks.argsort(stable=True)
        self._blocks = torch.split(item_ids[self._items], items_per_block)

    @torch.no_grad()
    def top_k(self, encoded: Tensor, *, k: int, wanted: Wanted) -> TopK:
        """See `Search`.

        Raises:
            ValueError: as there, or a score is NaN.
        """
        encoded = checked_users(encoded, k=k)
        asked = WantedPlaces(wanted, items=self._items, places=self._places)
        best = Best(len(encoded), k=min(k, len(self._items)), device=encoded.device)
        no_margin = torch.zeros(len(encoded), dtype=torch.float64, device=encoded.device)
        start = 0
        with full_precision(encoded.device.type):
            for item_ids in self._blocks:
                stop = start + len(item_ids)
                scores = self._model.score(encoded, self._model.candidates(item_ids)).double()
                if scores.isnan().any():
                    raise ValueError("the model gives scores that are NaN")
                scores = asked.only_wanted(scores, slice(start, stop))
                users, columns = candidates(scores, k=best.k, lowest=best.lowest, margin=no_margin)
                best.add(users, columns + start, scores[users, columns])
                start = stop
        return best.as_items(self._items, k=k)
