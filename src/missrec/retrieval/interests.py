"""The interests that a model has found, by the keys of the items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.features.table import FeatureTable
from missrec.interests.index import NO_INTEREST, InterestIndex
from missrec.retrieval.catalogue import UNKNOWN, CatalogueItems


@runtime_checkable
class HasInterests(Protocol):
    """A model that has an index of interests over the tokens of its items."""

    features: FeatureTable
    interests: InterestIndex

    def item_tokens(self) -> Tensor:
        """(M, N + 1, D) tokens of all items."""


@torch.no_grad()
def interest_members(model: HasInterests, items: CatalogueItems) -> pl.DataFrame:
    """A row for each token of these items, see `CatalogueRecommender.interests`."""
    modalities = model.features.modalities
    members = model.interests.members(model.item_tokens())
    modality, item_ids, interest, distance = (column.cpu().numpy() for column in members)
    numbers = items.numbers_of(item_ids)
    own = numbers != UNKNOWN
    tokens = pl.DataFrame(
        {
            "interest": interest[own],
            "item": items.index.keys.gather(numbers[own]),
            "title": items.titles.gather(numbers[own]),
            "modality": pl.Series(modalities, dtype=pl.String).gather(modality[own]),
            "distance": distance[own],
        }
    )
    of_interest = [
        pl.len().over("interest").cast(pl.Int64).alias("size"),
        *(
            (pl.col("modality") == name).mean().over("interest").alias(f"share_{name}")
            for name in modalities
        ),
    ]
    return (
        tokens.with_columns(of_interest)
        .select("interest", "size", *(f"share_{m}" for m in modalities), *tokens.columns[1:])
        .sort(
            ["size", "interest", "distance", "item", "modality"],
            descending=[True, False, False, False, False],
        )
    )


@torch.no_grad()
def interests_near(model: HasInterests, tokens: Tensor, history_ids: Sequence[int]) -> pl.DataFrame:
    """The interests of a history and how near an item is to each, the nearest first.

    Args:
        model: with interests.
        tokens: (T, D) of the item, one for each modality that it has.
        history_ids: items of the history, as the model calls them.

    Returns:
        `interest` of each that a token of the history belongs to, and `cosine`, the largest of its
        prototype and a token of the item; no rows where the item has no token.
    """
    index = model.interests
    of_history = index.interest_of_item[:, torch.tensor(history_ids, device=tokens.device)]
    found = torch.unique(of_history[of_history != NO_INTEREST])
    if not len(found) or not len(tokens):
        return pl.DataFrame(schema={"interest": pl.Int64, "cosine": pl.Float64})
    prototypes = F.normalize(index.prototypes[found], dim=-1)
    nearest = (prototypes @ F.normalize(tokens, dim=-1).T).amax(dim=1)
    order = nearest.argsort(descending=True, stable=True)
    return pl.DataFrame(
        {
            "interest": found[order].cpu().numpy(),
            "cosine": nearest[order].double().cpu().numpy(),
        }
    )


def interest_map(members: pl.DataFrame, model: HasInterests) -> pl.DataFrame:
    """A row for each interest that has members, see `CatalogueRecommender.interest_map`.

    Args:
        members: of `interest_members`.
        model: with interests.
    """
    shown = members.unique("interest", keep="first", maintain_order=True)
    rows = torch.tensor(shown["interest"].to_list(), device=model.interests.prototypes.device)
    x, y = principal_plane(model.interests.prototypes[rows]).T.cpu().numpy()
    places = pl.DataFrame({"x": x, "y": y})
    return pl.concat([shown.drop("modality", "distance"), places], how="horizontal")


def principal_plane(points: Tensor) -> Tensor:
    """(P, 2) float64, points (P, D) on the first two principal components of them."""
    center, components = principal_components(points)
    return (points.double() - center) @ components


def principal_components(points: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) of points (P, D) and their first two principal components (D, 2), float64.

    The largest entry of a component is positive: the same points never lie mirrored.
    """
    center = points.double().mean(dim=0)
    centered = points.double() - center
    _, components = torch.linalg.eigh(centered.T @ centered)  # by rising variance
    plane = components[:, -2:].flip(1)
    largest = plane.gather(0, plane.abs().argmax(dim=0, keepdim=True))
    return center, F.pad(plane * largest.sign(), (0, 2 - plane.shape[1]))  # where D = 1
