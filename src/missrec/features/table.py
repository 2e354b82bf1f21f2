"""The frozen raw features of all items of a run, where the model looks them up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from missrec.features.store import ModalityFeatures


class FeatureTable(nn.Module):
    """Raw features by modality and item id; never trained or saved.

    A table within the budget lies on the model's device, in the precision of its files. A larger
    one stays on disk: the rows that a batch needs are read from the memory map and sent after it.
    Checkpoints do not store it: it is read from the domain folders again.

    Attributes:
        is_resident: whether the table lies on the device.
    """

    def __init__(
        self,
        domains: Sequence[dict[str, ModalityFeatures]],
        *,
        num_items: Sequence[int],
        resident_bytes: int,
    ) -> None:
        """Joins the features of several domains.

        Args:
            domains: modality -> features of each domain; the same modalities and widths in all.
            num_items: N of each domain; item ids are moved apart as in `mix_domains`.
            resident_bytes: the budget; a table of more bytes is read from disk batch by batch.

        Raises:
            ValueError: a modality has different widths in two domains.
        """
        super().__init__()
        self.modalities = list(domains[0])
        self.num_items = sum(num_items)
        self.dims: list[int] = []
        self._maps = {
            modality: [domain[modality].values for domain in domains]
            for modality in self.modalities
        }
        self.is_resident = sum(map(_joined_bytes, self._maps.values())) <= resident_bytes
        first_items = np.cumsum([0, *num_items])
        for modality, parts in self._maps.items():
            dims = {part.shape[1] for part in parts}
            if len(dims) != 1:
                raise ValueError(
                    f"the {modality} features of the domains have widths {sorted(dims)}, expected "
                    "one width; extract them with the same encoder"
                )
            self.dims.append(dims.pop())
            item_ids = np.concatenate(
                [
                    domain[modality].item_ids + first
                    for domain, first in zip(domains, first_items, strict=False)
                ]
            )
            row_of_item = torch.full((self.num_items + 1,), -1, dtype=torch.int64)
            row_of_item[torch.from_numpy(item_ids)] = torch.arange(len(item_ids))
            self.register_buffer(f"row_of_item_{modality}", row_of_item, persistent=False)
            if self.is_resident:
                values = torch.from_numpy(np.concatenate(parts))
                self.register_buffer(f"values_{modality}", values, persistent=False)
        if self.is_resident:
            self._maps.clear()

    @property
    def num_modalities(self) -> int:
        """M."""
        return len(self.modalities)

    def all_ids(self) -> Tensor:
        """(N + 1,) int64, padding and all items, on the device of the table."""
        device = self.get_buffer(f"row_of_item_{self.modalities[0]}").device
        return torch.arange(self.num_items + 1, device=device)

    def present(self, item_ids: Tensor) -> Tensor:
        """(M, ...) bool, True where the item of `item_ids` (...) has the modality."""
        rows = [self.get_buffer(f"row_of_item_{modality}") for modality in self.modalities]
        return torch.stack([row_of_item[item_ids] >= 0 for row_of_item in rows])

    def lookup(self, modality: int, item_ids: Tensor) -> Tensor:
        """(P, F) float32 raw features of items (P,) that all have the modality."""
        name = self.modalities[modality]
        rows = self.get_buffer(f"row_of_item_{name}")[item_ids]
        if self.is_resident:
            return self.get_buffer(f"values_{name}")[rows].float()
        values = torch.from_numpy(_read_rows(self._maps[name], rows.cpu().numpy()))
        if rows.device.type == "cuda":
            values = values.pin_memory()
        return values.to(rows.device, non_blocking=True).float()


def _joined_bytes(parts: Sequence[np.ndarray]) -> int:
    """Memory of several arrays joined in the widest of their precisions."""
    return sum(part.size for part in parts) * np.result_type(*parts).itemsize


def _read_rows(parts: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """(P, F) rows of several arrays that are numbered on one after the other."""
    dtype = np.result_type(*parts)
    values = np.empty((len(rows), parts[0].shape[1]), dtype=dtype)
    first = 0
    for part in parts:
        inside = (rows >= first) & (rows < first + len(part))
        values[inside] = part[rows[inside] - first]
        first += len(part)
    return values
