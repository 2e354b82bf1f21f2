"""Histories as a model reads them, and what it then knows of them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from missrec.retrieval.histories import Histories
from missrec.types import Recommender, SequenceBatch


class HistoryEncoder:
    """Has a model read histories of items that are numbered from 0.

    Attributes:
        model: a `Recommender`, set to evaluation.
        device: of the model.
        max_seq_len: it reads so many items of a history, the most recent.
    """

    def __init__(
        self, model: nn.Module, *, first_id: int, max_seq_len: int, device: torch.device
    ) -> None:
        """Takes the model.

        Args:
            model: a `Recommender` on the device.
            first_id: its item id of number 0.
            max_seq_len: longest history, L.
            device: of the model.
        """
        self.model = model.eval()
        self.device = device
        self.max_seq_len = max_seq_len
        self._first_id = first_id

    @torch.no_grad()
    def encode(self, histories: Histories) -> Tensor:
        """(H, ...) what the model knows of histories, none of which is empty."""
        recent = histories.recent(self.max_seq_len)
        item_ids = Histories(recent.items + self._first_id, recent.offsets).padded()
        nothing = torch.zeros(len(histories), dtype=torch.int64)
        batch = SequenceBatch(torch.arange(len(histories)), item_ids, nothing)
        on_device = SequenceBatch(*(part.to(self.device) for part in batch))
        return cast("Recommender", self.model).encode(on_device)
