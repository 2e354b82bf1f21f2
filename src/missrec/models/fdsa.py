"""FDSA: feature-level deeper self-attention for recommendation (Zhang et al., IJCAI 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from missrec.nn.item_embeddings import IdEmbedding
from missrec.nn.precision import inner_products
from missrec.nn.sequence_encoder import CausalEncoder, SequenceEncoder, before_targets
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
    each_prefix_alone = None

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
        users = self._joined(
            before_targets(encoder, items, batch) for encoder, items in self._streams(batch)
        )
        loss = next_item_loss(
            self.objective, self, users, batch.asked_ids, num_items=self._num_items
        )
        return TrainingLoss(loss, {"ranking": loss.detach()})

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) what both streams say at the last item."""
        return self._joined(
            encoder.last(items, valid_mask=batch.valid_mask, causal=True)
            for encoder, items in self._streams(batch)
        )

    def _streams(self, batch: SequenceBatch) -> Iterator[tuple[CausalEncoder, Tensor]]:
        """The encoder of each stream, and what it reads, (B, L, D)."""
        yield self.encoder, self.items(batch.item_ids)
        yield (
            self.feature_stack,
            self.encoder.input(self.features(batch.item_ids), valid_mask=batch.valid_mask),
        )

    def _joined(self, streams: Iterable[Tensor]) -> Tensor:
        """(P, D) from what each stream says, (P, D)."""
        shared = self.encoder.input
        both = torch.cat(list(streams), dim=-1)  # (P, 2 D)
        return shared.dropout(shared.norm(self.join(both)))  # type: ignore[no-any-return]

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
