"""FDSA: feature-level deeper self-attention for recommendation (Zhang et al., IJCAI 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from missrec.nn.item_embeddings import IdEmbedding
from missrec.nn.precision import inner_products
from missrec.nn.sequence_encoder import SequenceEncoder
from missrec.nn.transformer import initialize_linear
from missrec.objectives.ranking import RankingObjective, next_item_loss
from missrec.types import Catalogue, ItemVectors, SequenceBatch, TrainingLoss


class FDSA(nn.Module):
    """Two causal Transformers, over item ids and over features, joined at the last item.

    **Source**: section 3 as UniSRec's authors run it, with text features: both streams share the
    positions and one LayerNorm, which normalises the joined vector too.
    **Differs**: no vanilla attention over the features of an item (section 3.2), since it has one;
    the loss is the objective's at the last item, by default a softmax over all items, rather than
    a binary cross-entropy at each; an item without any feature is a zero vector, see
    `FeatureEmbedding`; blocks as in `SequenceEncoder`.
    """

    loss_terms = ("ranking",)

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        items: Callable[..., IdEmbedding],
        features: Callable[..., nn.Module],
        encoder: Callable[..., SequenceEncoder],
        init_std: float,
        objective: RankingObjective,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run, with features.
            embed_dim: D.
            items: embeds items by id, `IdEmbedding` without catalogue and width.
            features: embeds items by feature, `FeatureEmbedding` without catalogue and width.
            encoder: the sequence encoder of either stream without its width.
            init_std: of the linear maps of the features and of the joined streams at the start.
            objective: the loss.
        """
        super().__init__()
        self._num_items = catalogue.num_items
        self.items = items(catalogue=catalogue, embed_dim=embed_dim)
        self.features = features(catalogue=catalogue, embed_dim=embed_dim)
        self.encoder = encoder(embed_dim=embed_dim)
        self.feature_stack = encoder(embed_dim=embed_dim).stack
        self.join = nn.Linear(2 * embed_dim, embed_dim)
        for linear in (self.features, self.join):
            initialize_linear(linear, std=init_std)
        self.objective = objective

    @property
    def scores_by_id(self) -> bool:
        """Whether candidates are id vectors alone."""
        return isinstance(self.items, IdEmbedding)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """The objective's loss of the next item."""
        loss = next_item_loss(
            self.objective, self, self.encode(batch), batch.target_ids, num_items=self._num_items
        )
        return TrainingLoss(loss, {"ranking": loss.detach()})

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) what both streams say at the last item."""
        valid_mask, shared = batch.valid_mask, self.encoder.input
        by_id = self.encoder.last(self.items(batch.item_ids), valid_mask=valid_mask, causal=True)
        by_feature = self.feature_stack.last(
            shared(self.features(batch.item_ids)), valid_mask=valid_mask, causal=True
        )
        last = torch.cat([by_id, by_feature], dim=-1)  # (B, 2 D)
        joined: Tensor = shared.dropout(shared.norm(self.join(last)))
        return joined

    def candidates(self, item_ids: Tensor) -> Tensor:
        """(C, D) id embeddings."""
        embeddings: Tensor = self.items(item_ids)
        return embeddings

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        """(B, C) inner products."""
        return inner_products(encoded, candidates)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that `score` follows from."""
        return self.items.item_vectors(item_ids)
