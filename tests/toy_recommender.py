"""A recommender of five items whose scores can be had by hand."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from missrec.features.store import ModalityFeatures
from missrec.features.table import FeatureTable
from missrec.interests.index import InterestIndex
from missrec.retrieval.catalogue import CatalogueItems, CatalogueUsers
from missrec.retrieval.exact import ExactSearch
from missrec.retrieval.histories import Histories
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.types import ItemVectors, SequenceBatch

KEYS = ["b", "e", "10", "d", "a"]
"""Of numbers 0..4; e and a are the same, and 10 has no image, d no text."""

FIRST_ID = 3
TEXT = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 0.0], [0.0, 1.0]])
IMAGE = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.8, -0.6], [1.0, 0.0]])
IDS = torch.tensor([[0.5, 0.0], [0.0, 0.25], [-0.5, 0.0], [0.0, 0.5], [0.0, 0.25]])
READ = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 2.0], [0.5, 0.5]])
WEIGHT = 2.0
PROTOTYPES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, -0.6]])
INTERESTS = torch.tensor([[0, 1, 1, -1, 1], [1, 0, -1, 2, 0]])
"""Of the tokens of ToyInterests, -1 where there is none."""
USERS = {"ann": ["b", "e", "b"], "7": ["10"], "bob": ["d", "a"]}


class ToyFusion(nn.Module):
    """A user is the mean of what is read of the items; a score the plain mean of two modalities."""

    def encode(self, batch: SequenceBatch) -> Tensor:
        read = torch.cat([torch.zeros(1, 2), READ])[(batch.item_ids - FIRST_ID + 1).clamp_min(0)]
        return read.sum(dim=1) / batch.valid_mask.sum(dim=1, keepdim=True)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        numbers = item_ids - FIRST_ID
        tokens = torch.stack([TEXT[numbers], IMAGE[numbers]])
        return ItemVectors(
            ("text", "image"),
            tokens,
            tokens.any(dim=-1),
            alpha=torch.zeros(()),
            modality_weight=WEIGHT,
            ids=IDS[numbers],
            bias=None,
        )


class ToyCounts(nn.Module):
    """Nothing but a bias: 0 for the first item, 1 for the next, 2 for every other."""

    def encode(self, batch: SequenceBatch) -> Tensor:
        return torch.zeros(len(batch.item_ids), 0)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        none = torch.zeros(0, len(item_ids), 0)
        bias = (item_ids - FIRST_ID).clamp_max(2).float()
        return ItemVectors((), none, none.any(dim=-1), torch.zeros(()), 1.0, None, bias)


class ToyChain(nn.Module):
    """Scores an item by how far it is behind the last one, without vectors."""

    def encode(self, batch: SequenceBatch) -> Tensor:
        last = batch.valid_mask.sum(dim=1, keepdim=True) - 1
        return batch.item_ids.gather(1, last).squeeze(1)

    def candidates(self, item_ids: Tensor) -> Tensor:
        return item_ids

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        return ((candidates - encoded[:, None]) % len(KEYS)).float()


def scored(history: Sequence[str], item: str) -> dict[str, float]:
    """The parts of ToyFusion's score, one number after the other."""
    user = [
        sum(float(READ[KEYS.index(key), axis]) for key in history) / len(history)
        for axis in range(2)
    ]
    row = KEYS.index(item)
    products = {
        name: user[0] * float(table[row, 0]) + user[1] * float(table[row, 1])
        for name, table in (("text", TEXT), ("image", IMAGE), ("id", IDS))
    }
    present = [name for name in ("text", "image") if item != {"text": "d", "image": "10"}[name]]
    fused = dict.fromkeys(("text", "image"), 0.0)
    fused |= {name: WEIGHT * products[name] / len(present) for name in present}
    return {**fused, "id": products["id"]}


def toy_items(known: Sequence[bool] | None = None) -> CatalogueItems:
    """The items; those that the model knows."""
    return CatalogueItems(
        domain="toys",
        keys=pl.Series(KEYS),
        titles=pl.Series([f"Toy {key}" for key in KEYS]),
        first_id=FIRST_ID,
        known=None if known is None else np.array(known),
    )


def toy_features() -> FeatureTable:
    """The tokens of the items as their raw features."""
    present = {"text": TEXT.any(dim=1).numpy(), "image": IMAGE.any(dim=1).numpy()}
    features = {
        name: ModalityFeatures(
            np.flatnonzero(present[name]) + FIRST_ID, values.numpy()[present[name]]
        )
        for name, values in (("text", TEXT), ("image", IMAGE))
    }
    return FeatureTable([features], num_items=[FIRST_ID + len(KEYS)], resident_bytes=1 << 20)


def toy_recommender(model: nn.Module | None = None, **changes: Any) -> CatalogueRecommender:
    """The recommender of a toy model, which reads three items."""
    lists = [[KEYS.index(key) for key in own] for own in USERS.values()]
    offsets = np.cumsum([0, *map(len, lists)])
    histories = Histories(np.array([item for own in lists for item in own]), offsets)
    settings: dict[str, Any] = {
        "items": toy_items(),
        "users": CatalogueUsers(domain="toys", keys=pl.Series(list(USERS)), histories=histories),
        "index": ExactSearch,
        "max_seq_len": 3,
    }
    return CatalogueRecommender(model=model or ToyFusion(), **settings | changes)


class HeldFusion(ToyFusion):
    """Reads no history until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()

    def encode(self, batch: SequenceBatch) -> Tensor:
        self.entered.set()
        assert self.go_on.wait(10)
        return super().encode(batch)


class ToyInterests(ToyFusion):
    """Has three interests too: 0 of three tokens, 1 of four, and 2 of one."""

    def __init__(self) -> None:
        super().__init__()
        none = torch.zeros(2, FIRST_ID, 2)
        self._tokens = torch.cat([none, torch.stack([TEXT, IMAGE])], dim=1)
        present = self._tokens.any(dim=-1)
        self.features = SimpleNamespace(modalities=("text", "image"))
        self.interests = InterestIndex(
            present=present,
            embed_dim=2,
            ratio=0.375,
            clustering=lambda tokens, *, num_clusters: (PROTOTYPES, INTERESTS[INTERESTS >= 0]),
            normalize_tokens=False,
            padding_slot=False,
        )
        self.interests.refresh(self._tokens)

    def item_tokens(self) -> Tensor:
        return self._tokens
