"""Histories as a model reads them, and what it then knows of them."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from missrec.retrieval.histories import Histories
from missrec.types import Recommender, SequenceBatch

_AT_ONCE = 128
"""Histories that are padded to one length."""


class HistoryEncoder:
    """Has a model read histories of items that are numbered from 0.

    Attributes:
        model: a `Recommender`, set to evaluation.
        device: of the model.
        max_seq_len: it reads so many items of a history, the most recent.
    """

    def __init__(
        self, model: nn.Module, *, item_ids: np.ndarray, max_seq_len: int, device: torch.device
    ) -> None:
        """Takes the model.

        Args:
            model: a `Recommender` on the device.
            item_ids: (N,) what it calls the items.
            max_seq_len: longest history, L.
            device: of the model.
        """
        self.model = model.eval()
        self.device = device
        self.max_seq_len = max_seq_len
        self._item_ids = item_ids

    @torch.no_grad()
    def encode(self, histories: Histories) -> Tensor:
        """(H, ...) what the model knows of histories, none of which is empty.

        Those of like lengths are read together: padding costs as much as items do.
        """
        recent = histories.recent(self.max_seq_len)
        order = recent.lengths.argsort(kind="stable")
        parts = np.split(order, range(_AT_ONCE, len(order), _AT_ONCE))
        encoded = torch.cat([self._encode(recent.at(rows)) for rows in parts])
        return encoded[torch.from_numpy(order.argsort(kind="stable")).to(self.device)]

    def _encode(self, histories: Histories) -> Tensor:
        item_ids = Histories(self._item_ids[histories.items], histories.offsets).padded()
        nothing = torch.zeros(len(histories), dtype=torch.int64)
        batch = SequenceBatch(torch.arange(len(histories)), item_ids, nothing)
        on_device = SequenceBatch(*(part.to(self.device) for part in batch))
        return cast("Recommender", self.model).encode(on_device)
