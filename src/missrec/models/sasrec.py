"""SASRec: self-attentive sequential recommendation (Kang and McAuley, ICDM 2018)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from missrec.nn.item_embeddings import FeatureEmbedding, IdEmbedding
from missrec.nn.precision import inner_products
from missrec.nn.sequence_encoder import SequenceEncoder, before_targets
from missrec.objectives.ranking import RankingObjective, next_item_loss
from missrec.types import Catalogue, ItemVectors, SequenceBatch, TrainingLoss


class SASRec(nn.Module):
    """A causal Transformer; the score of an item is <h of the last item, embedding of the item>.

    **Source**: sections 3.1-3.4, with item ids; with adapted text features in their place it is
    the SASRec (T) of MISSRec's Table 2.
    **Differs**: the loss is the objective's, by default a softmax over all items rather than a
    binary cross-entropy with one negative, as in RecBole; blocks as in `SequenceEncoder`.
    """

    loss_terms = ("ranking",)
    each_prefix_alone = None

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        items: Callable[..., IdEmbedding | FeatureEmbedding],
        encoder: Callable[..., SequenceEncoder],
        objective: RankingObjective,
        all_positions: bool,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run.
            embed_dim: D.
            items: embeds items, `IdEmbedding` or `FeatureEmbedding` without catalogue and width.
            encoder: the sequence encoder without its width.
            objective: the loss.
            all_positions: predict the item after each item of a sequence, as the paper, not only
                the target; for samples that are whole sequences (datamodule.prefixes=false).
        """
        super().__init__()
        self._num_items = catalogue.num_items
        self._all_positions = all_positions
        self.items = items(catalogue=catalogue, embed_dim=embed_dim)
        self.encoder = encoder(embed_dim=embed_dim)
        self.objective = objective

    @property
    def scores_by_id(self) -> bool:
        """Whether candidates are id vectors alone."""
        return isinstance(self.items, IdEmbedding)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """The objective's loss of the next items."""
        if self._all_positions:
            valid_mask = batch.valid_mask
            hidden = self.encoder(self.items(batch.item_ids), valid_mask=valid_mask, causal=True)
            sequences, targets = hidden[valid_mask], batch.next_ids[valid_mask]
        else:
            items = self.items(batch.item_ids)
            sequences, targets = before_targets(self.encoder, items, batch), batch.asked_ids
        loss = next_item_loss(self.objective, self, sequences, targets, num_items=self._num_items)
        return TrainingLoss(loss, {"ranking": loss.detach()})

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) what the encoder says at the last item."""
        items = self.items(batch.item_ids)
        return self.encoder.last(items, valid_mask=batch.valid_mask, causal=True)

    def candidates(self, item_ids: Tensor) -> Tensor:
        """(C, D) item embeddings."""
        embeddings: Tensor = self.items(item_ids)
        return embeddings

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        """(B, C) inner products."""
        return inner_products(encoded, candidates)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that `score` follows from."""
        return self.items.item_vectors(item_ids)
