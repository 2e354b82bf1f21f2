"""One embedding an item, learned by id or adapted from its features.

M modalities, U distinct items of a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.adapters import modality_adapters
from missrec.nn.eager import eagerly_on_cpu
from missrec.nn.precision import repeated, single
from missrec.nn.rows import spread_rows
from missrec.types import Catalogue, InputsError, ItemRows, ItemVectors

Augmentation = Callable[[str, Tensor, Tensor], Tensor]
"""Modality, items (P,), raw features (P, F) -> features (P, F)."""


class ItemEmbeddings(NamedTuple):
    """Items as MISSRec sees them.

    Attributes:
        item_ids: (U,) the items.
        tokens: (M, U, D) adapted features x^m; zeros where the item lacks the modality.
        present: (M, U) bool, True where the item has the modality.
        ids: (U, D) id embeddings z; None in the inductive setting.
    """

    item_ids: Tensor
    tokens: Tensor
    present: Tensor
    ids: Tensor | None

    def select(self, index: Tensor | slice) -> ItemEmbeddings:
        """The items at `index` (C,); views of them where it is a slice."""
        ids = None if self.ids is None else self.ids[index]
        return ItemEmbeddings(
            self.item_ids[index], self.tokens[:, index], self.present[:, index], ids
        )

    @property
    def unit_tokens(self) -> Tensor:
        """(M, U, D) float32, the tokens at unit length."""
        return F.normalize(single(self.tokens), dim=-1)


class ScoredItems(NamedTuple):
    """Items as MISSRec scores them, with no product that can be spared (Eq. 2 and 10).

    What counts whatever the votes of the modalities is one vector. Of two modalities those are the
    token of one and the id, and the vote is about the step to the other's token.

    Attributes:
        item_ids: (C,) the items.
        base: (C, D), whose score <u, base> is added; None for three modalities without ids.
        step: (C, D) from the first token to the second, zeros where an item lacks one of them;
            None unless there are two modalities.
        tokens: (M, C, D) at unit length; None unless there are three modalities or more.
        present: (M, C) bool.
    """

    item_ids: Tensor
    base: Tensor | None
    step: Tensor | None
    tokens: Tensor | None
    present: Tensor

    @classmethod
    def of(
        cls, items: ItemEmbeddings, *, modality_weight: float, ids: Tensor | None
    ) -> ScoredItems:
        """The items, ready to be scored.

        Args:
            items: C of them.
            modality_weight: of the fused score.
            ids: (C, D), whose score is added to it.
        """
        tokens = items.unit_tokens
        if len(tokens) > 2:
            return cls(items.item_ids, ids, None, tokens, items.present)
        base, step = tokens[0], None
        if len(tokens) == 2:
            first, second = items.present[:, :, None]
            base = torch.where(first, tokens[0], tokens[1])
            step = torch.where(first & second, tokens[1] - tokens[0], 0)
        if modality_weight != 1:
            base = modality_weight * base
        return cls(items.item_ids, base if ids is None else base + ids, step, None, items.present)

    def select(self, index: Tensor | slice) -> ScoredItems:
        """The items at `index` (C,); views of them where it is a slice."""
        base, step = (None if part is None else part[index] for part in (self.base, self.step))
        tokens = None if self.tokens is None else self.tokens[:, index]
        return ScoredItems(self.item_ids[index], base, step, tokens, self.present[:, index])


class IdEmbedding(nn.Embedding):
    """A learned vector for each item of one catalogue; zeros for padding."""

    item_rows = (ItemRows("weight", dim=0, is_id=True),)

    def __init__(self, *, catalogue: Catalogue, embed_dim: int, init_std: float) -> None:
        """N + 1 vectors, normal with `init_std`."""
        super().__init__(catalogue.num_items + 1, embed_dim, padding_idx=0)
        nn.init.normal_(self.weight[1:].detach(), std=init_std)

    def forward(self, item_ids: Tensor) -> Tensor:
        """(..., D) the vectors of items (...); of the whole catalogue on a CPU they are a view."""
        if self._are_all(item_ids):
            return self.weight[1:]
        return super().forward(item_ids)

    def _are_all(self, item_ids: Tensor) -> bool:
        """Whether they are 1..N in their order; a GPU would have to be waited for."""
        if not eagerly_on_cpu(item_ids):
            return False
        if item_ids.shape != (self.num_embeddings - 1,):
            return False
        return torch.equal(item_ids, torch.arange(1, self.num_embeddings))

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """The items (C,) as ids alone, for a model that scores by <u, embedding>."""
        ids = self(item_ids)  # (C, D)
        return mean_of(
            (), ids.new_zeros(0, *ids.shape), present=item_ids.new_zeros(0, len(ids)) > 0
        )._replace(ids=ids)


class FeatureEmbedding(nn.Module):
    """The adapted features of an item, the mean over the modalities that it has.

    **Differs** from the public codes of UniSRec and its kin, which read texts alone and adapt a
    zero vector: an item without any feature is the zero vector itself, as everywhere in this
    project. And an item passes an adapter once a call, however often it occurs there, so what the
    adapter draws at random is drawn once too.
    """

    _frozen: Tensor | None

    def __init__(
        self, *, catalogue: Catalogue, embed_dim: int, adapter: Callable[[int, int], nn.Module]
    ) -> None:
        """An adapter for each modality in use.

        Args:
            catalogue: with features.
            embed_dim: D.
            adapter: (F, D) -> module.

        Raises:
            InputsError: no modality is in use.
        """
        super().__init__()
        self.features = catalogue.features
        if not self.features.modalities:
            raise InputsError("this model reads features, and the inputs are ids alone")
        self.adapter = modality_adapters(self.features, embed_dim=embed_dim, adapter=adapter)
        self.register_buffer("_frozen", None, persistent=False)

    def forward(self, item_ids: Tensor, *, augment: Augmentation | None = None) -> Tensor:
        """(..., D) of items (...); zeros for padding and for an item without any feature.

        Args:
            item_ids: (...).
            augment: changes the raw features before the adapter.
        """
        if self._frozen is not None:
            return F.embedding(item_ids, self._frozen)
        unique_ids, inverse = torch.unique(item_ids, return_inverse=True)
        tokens, present = self._adapt(unique_ids, augment=augment)
        embeddings = tokens.sum(dim=0)
        return repeated(embeddings / present.sum(dim=0).clamp_min(1)[:, None], inverse)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """The items (C,) by modality, for a model that scores by <u, embedding>."""
        tokens, present = self._adapt(item_ids, augment=None)
        return mean_of(tuple(self.features.modalities), tokens, present=present)

    def _adapt(self, item_ids: Tensor, *, augment: Augmentation | None) -> tuple[Tensor, Tensor]:
        """(M, U, D) adapted features of items (U,), zeros where there are none; (M, U) present."""
        present = self.features.present(item_ids)
        by_modality = []
        for modality, (name, adapter) in enumerate(self.adapter.items()):
            index = present[modality].nonzero().squeeze(1)  # once: a device is waited for
            features = self.features.lookup(modality, item_ids[index])
            if augment is not None:
                features = augment(name, item_ids[index], features)
            by_modality.append(spread_rows(adapter(features), index, len(item_ids)))
        return torch.stack(by_modality), present

    @torch.no_grad()
    def freeze_items(self) -> None:
        """Embeds all items once, see `FreezesItems`."""
        self._frozen = self(self.features.all_ids())

    def exist(self, item_ids: Tensor) -> Tensor:
        """(...) bool, True where the item of `item_ids` (...) has a feature."""
        return self.features.present(item_ids).any(dim=0)


def mean_of(modalities: tuple[str, ...], tokens: Tensor, *, present: Tensor) -> ItemVectors:
    """Items whose score is the mean of <u, token> over the modalities that they have.

    Args:
        modalities: M names.
        tokens: (M, C, D).
        present: (M, C) bool.
    """
    return ItemVectors(
        modalities,
        tokens,
        present,
        alpha=tokens.new_zeros(()),
        modality_weight=1.0,
        ids=None,
        bias=None,
    )
