"""Where interests lie as each epoch begins, on a plane that stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor

from missrec.interests.index import InterestIndex
from missrec.retrieval.interests import principal_components

_MAPPED = 300
"""Interests of an epoch, the largest: a few kilobytes."""


class InterestMaps:
    """The largest interests of each epoch on the principal plane of the first one's prototypes."""

    def __init__(self) -> None:
        """Has no epoch yet."""
        self._plane: tuple[Tensor, Tensor] | None = None
        self._epochs: dict[int, Tensor] = {}

    @torch.no_grad()
    def note(self, epoch: int, index: InterestIndex) -> None:
        """Keeps where the interests are now; nothing before any are found."""
        counts = torch.stack(
            [
                interests[interests >= 0].bincount(minlength=len(index.prototypes))
                for interests in index.interest_of_item
            ]
        )  # (M, K_c)
        sizes = counts.sum(dim=0)
        largest = sizes.argsort(descending=True, stable=True)[:_MAPPED]
        largest = largest[sizes[largest] > 0]
        if not len(largest):
            return
        prototypes = index.prototypes[largest].double().cpu()
        if self._plane is None:
            self._plane = principal_components(prototypes)
        center, components = self._plane
        places = ((prototypes - center) @ components).T
        shares = counts[:, largest] / sizes[largest]
        columns = [largest[None], sizes[largest][None], places, shares]
        self._epochs[epoch] = torch.cat([column.float().cpu() for column in columns])

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors."""
        return {"plane": self._plane, "epochs": dict(self._epochs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up the maps of a run that is resumed."""
        self._plane, self._epochs = state["plane"], dict(state["epochs"])

    def table(self, modalities: Sequence[str]) -> pl.DataFrame:
        """`epoch`, `interest`, `size`, `x`, `y` and `<modality>_share` of each interest noted."""
        names = ["interest", "size", "x", "y", *(f"{name}_share" for name in modalities)]
        whole = pl.col("interest", "size").cast(pl.Int64)
        tables = [
            pl.DataFrame(dict(zip(names, columns.numpy(), strict=True)))
            .with_columns(whole)
            .insert_column(0, pl.Series("epoch", [epoch]).new_from_index(0, columns.shape[1]))
            for epoch, columns in sorted(self._epochs.items())
        ]
        return pl.concat(tables) if tables else pl.DataFrame()
