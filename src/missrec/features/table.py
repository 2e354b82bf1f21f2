"""The frozen raw features of all items of a run, where the model looks them up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from missrec.features.store import ModalityFeatures


class FeatureTable(nn.Module):
    """Raw features by modality and item id; moves with the model, is never trained or saved.

    The table is as large as the rows that exist. Checkpoints do not store it: it is read from the
    domain folders again.
    """

    def __init__(
        self, domains: Sequence[dict[str, ModalityFeatures]], *, num_items: Sequence[int]
    ) -> None:
        """Joins the features of several domains.

        Args:
            domains: modality -> features of each domain; the same modalities and widths in all.
            num_items: N of each domain; item ids are moved apart as in `mix_domains`.

        Raises:
            ValueError: a modality has different widths in two domains.
        """
        super().__init__()
        self.modalities = list(domains[0])
        self.num_items = sum(num_items)
        self.dims: list[int] = []
        first_items = np.cumsum([0, *num_items])
        for modality in self.modalities:
            parts = [domain[modality] for domain in domains]
            dims = {part.values.shape[1] for part in parts}
            if len(dims) != 1:
                raise ValueError(
                    f"the {modality} features of the domains have widths {sorted(dims)}, expected "
                    "one width; extract them with the same encoder"
                )
            self.dims.append(dims.pop())
            values = np.concatenate([part.values for part in parts]).astype(np.float32)
            item_ids = np.concatenate(
                [part.item_ids + first for part, first in zip(parts, first_items, strict=False)]
            )
            row_of_item = torch.full((self.num_items + 1,), -1, dtype=torch.int64)
            row_of_item[torch.from_numpy(item_ids)] = torch.arange(len(item_ids))
            self.register_buffer(f"values_{modality}", torch.from_numpy(values), persistent=False)
            self.register_buffer(f"row_of_item_{modality}", row_of_item, persistent=False)

    @property
    def num_modalities(self) -> int:
        """M."""
        return len(self.modalities)

    @property
    def num_tokens(self) -> int:
        """T, the (item, modality) pairs that exist."""
        return sum(len(self.get_buffer(f"values_{modality}")) for modality in self.modalities)

    def present(self, item_ids: Tensor) -> Tensor:
        """(M, ...) bool, True where the item of `item_ids` (...) has the modality."""
        rows = [self.get_buffer(f"row_of_item_{modality}") for modality in self.modalities]
        return torch.stack([row_of_item[item_ids] >= 0 for row_of_item in rows])

    def lookup(self, modality: int, item_ids: Tensor) -> Tensor:
        """(P, F) raw features of items (P,) that all have the modality."""
        name = self.modalities[modality]
        rows = self.get_buffer(f"row_of_item_{name}")[item_ids]
        return self.get_buffer(f"values_{name}")[rows]
