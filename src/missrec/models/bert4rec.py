"""BERT4Rec: a bidirectional Transformer that fills in hidden items (Sun et al., CIKM 2019)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from missrec.nn.item_embeddings import FeatureEmbedding, IdEmbedding
from missrec.nn.pooling import last_valid
from missrec.nn.precision import inner_products
from missrec.nn.sequence_encoder import SequenceEncoder
from missrec.nn.transformer import initialize_linear
from missrec.objectives.cloze import ClozeMask
from missrec.objectives.ranking import RankingObjective, next_item_loss
from missrec.types import PAD_ID, Catalogue, ItemRows, ItemVectors, SequenceBatch, TrainingLoss


class OutputItems(NamedTuple):
    """Items as the output layer sees them.

    Attributes:
        embeddings: (C, D), those of the input.
        bias: (C,).
    """

    embeddings: Tensor
    bias: Tensor

    def select(self, index: Tensor | slice) -> OutputItems:
        """The items at `index` (Q,); views of them where it is a slice."""
        return OutputItems(self.embeddings[index], self.bias[index])


class BERT4Rec(nn.Module):
    """Tells hidden items of a sequence from those on both sides; predicts a mask at its end.

    **Source**: sections 3.2-3.6; the output layer of equation 7 with the LayerNorm behind GELU
    that the authors' code and RecBole's have.
    **Differs**: the history keeps as many items as fit beside the mask, where RecBole drops the
    oldest of every history; a sequence too long is cut to its most recent items rather than read
    in windows; masks are drawn anew each time, see `ClozeMask`; blocks as in `SequenceEncoder`.
    """

    loss_terms = ("ranking",)
    each_prefix_alone = "BERT4Rec reads in both directions and hides items of each"
    item_rows = (ItemRows("bias", dim=0, is_id=False),)

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        items: Callable[..., IdEmbedding | FeatureEmbedding],
        encoder: Callable[..., SequenceEncoder],
        init_std: float,
        layer_norm_eps: float,
        cloze: ClozeMask,
        objective: RankingObjective,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run.
            embed_dim: D.
            items: embeds items, `IdEmbedding` or `FeatureEmbedding` without catalogue and width.
            encoder: the sequence encoder without its width.
            init_std: of the mask's embedding and the output layer.
            layer_norm_eps: of the output layer.
            cloze: chooses what is hidden in training.
            objective: the loss; its rows are the hidden items.
        """
        super().__init__()
        self._num_items = catalogue.num_items
        self._mask_id = catalogue.num_items + 1
        self.items = items(catalogue=catalogue, embed_dim=embed_dim)
        self.mask = nn.Parameter(torch.empty(embed_dim))
        self.encoder = encoder(embed_dim=embed_dim)
        self.output = nn.Sequential(
            nn.Linear(embed_dim, embed_dim),
            nn.GELU(),
            nn.LayerNorm(embed_dim, eps=layer_norm_eps),
        )
        self.bias = nn.Parameter(torch.zeros(catalogue.num_items + 1))
        self.cloze = cloze
        self.objective = objective
        nn.init.normal_(self.mask, std=init_std)
        initialize_linear(self.output, std=init_std)

    @property
    def scores_by_id(self) -> bool:
        """Whether candidates are id vectors alone."""
        return isinstance(self.items, IdEmbedding)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """The objective's loss of the hidden items; the target is part of the sequence."""
        item_ids = batch.followed_by(batch.target_ids, longest=self.encoder.max_seq_len)
        hidden = self.cloze(item_ids != PAD_ID)
        encoded = self._encode(item_ids.masked_fill(hidden, self._mask_id))
        sequences, targets = self.output(encoded[hidden]), item_ids[hidden]
        loss = next_item_loss(self.objective, self, sequences, targets, num_items=self._num_items)
        return TrainingLoss(loss, {"ranking": loss.detach()})

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) what the output layer says of a mask after the last item."""
        masks = torch.full_like(batch.target_ids, self._mask_id)
        item_ids = batch.followed_by(masks, longest=self.encoder.max_seq_len)
        sequences: Tensor = self.output(last_valid(self._encode(item_ids), item_ids != PAD_ID))
        return sequences

    def candidates(self, item_ids: Tensor) -> OutputItems:
        """Items (C,) ready to be scored."""
        return OutputItems(self.items(item_ids), self.bias[item_ids])

    def score(self, encoded: Tensor, candidates: OutputItems) -> Tensor:
        """(B, C) inner products plus the bias of each item."""
        return inner_products(encoded, candidates.embeddings) + candidates.bias

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that `score` follows from."""
        vectors = self.items.item_vectors(item_ids)
        return vectors._replace(bias=self.bias[item_ids])

    def _encode(self, item_ids: Tensor) -> Tensor:
        """(B, L, D) from ids (B, L) in which some are the mask's."""
        is_mask = item_ids == self._mask_id
        items = self.items(item_ids.masked_fill(is_mask, PAD_ID))
        encoded: Tensor = self.encoder(
            torch.where(is_mask[..., None], self.mask, items),
            valid_mask=item_ids != PAD_ID,
            causal=False,
        )
        return encoded
