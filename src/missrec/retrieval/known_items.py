"""A model that leaves alone the items of which it knows nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from missrec.types import PAD_ID, Recommender, SequenceBatch


class _Candidates(NamedTuple):
    """Of C items: what the model makes of them, and (C,) bool, True where it knows something."""

    inner: Any
    recommendable: Tensor


class KnownItems(nn.Module):
    """Never recommends some items, and reads histories without them; else as the model it holds."""

    recommendable: Tensor

    def __init__(self, model: nn.Module, recommendable: Tensor) -> None:
        """Takes the model.

        Args:
            model: a `Recommender`.
            recommendable: (N + 1,) bool, False of the items to leave alone and of padding.
        """
        super().__init__()
        self.model = model
        self.register_buffer("recommendable", recommendable, persistent=False)

    @property
    def _recommender(self) -> Recommender:
        return self.model  # type: ignore[return-value]

    def training_loss(self, batch: SequenceBatch) -> Any:
        """Never called.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a model that leaves items alone is not trained")

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, ...) of the histories without these items; one of nothing else stays as it is."""
        return self._recommender.encode(batch._replace(item_ids=self._read(batch.item_ids)))

    def candidates(self, item_ids: Tensor) -> _Candidates:
        """Items (C,) ready to be scored."""
        return _Candidates(self._recommender.candidates(item_ids), self.recommendable[item_ids])

    def score(self, encoded: Tensor, candidates: _Candidates) -> Tensor:
        """(B, C) scores, -inf of these items."""
        scores = self._recommender.score(encoded, candidates.inner)
        return scores.masked_fill(~candidates.recommendable, float("-inf"))

    def _read(self, item_ids: Tensor) -> Tensor:
        """(B, L) histories whose items the model knows; the later ones move up."""
        keep = self.recommendable[item_ids]
        keep |= ~keep.any(dim=1, keepdim=True) & (item_ids != PAD_ID)
        order = (~keep).byte().argsort(dim=1, stable=True)
        return item_ids.masked_fill(~keep, PAD_ID).gather(1, order)
