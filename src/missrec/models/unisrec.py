"""UniSRec: universal sequence representation learning (Hou et al., KDD 2022)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.augmentation import drop_items
from missrec.nn.dropout import Dropout
from missrec.nn.item_embeddings import Augmentation, FeatureEmbedding, IdEmbedding
from missrec.nn.precision import inner_products
from missrec.nn.sequence_encoder import SequenceEncoder, before_targets
from missrec.objectives.ranking import RankingObjective, next_item_loss
from missrec.types import PAD_ID, Catalogue, ItemVectors, SequenceBatch, TrainingLoss


class UniSRec(nn.Module):
    """A causal Transformer over adapted features; the score is the cosine of user and item.

    **Source**: sections 2.1 to 2.3. Whitening and mixture of experts are the adapter's; with item
    ids it is the transductive setting, an item's id added to its adapted features both in the
    history and as a candidate.
    **Differs**: without a second encoding of the texts, and for images, the second view of
    pre-training drops features of all items of the history in place of words; whether an item
    takes its second encoding is drawn once a batch. It drops items as `drop_items` does.
    Images beside texts, and items without either, are as in `FeatureEmbedding`.
    Histories with the same target are each other's negatives in the sequence-sequence loss, and
    repeats of the row's own target are left out of the sequence-item loss; the public code sets
    the logits of both to 0.
    """

    domain_bound = ("item_embeddings",)
    feature_bound = ("items",)

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        adapter: Callable[[int, int], nn.Module],
        encoder: Callable[..., SequenceEncoder],
        objective: RankingObjective,
        temperature: float,
        contrast: Callable[[Tensor, Tensor], Tensor],
        contrast_weight: float,
        item_drop_share: float,
        item_drop_prob: float,
        feature_dropout_prob: float,
        item_ids: bool,
        id_init_std: float,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run.
            embed_dim: D.
            adapter: (F, D) -> module.
            encoder: the sequence encoder without its width.
            objective: the sequence-item loss.
            temperature: tau; cosines are divided by it in the sequence-item loss.
            contrast: the sequence-sequence loss of the histories and their second views.
            contrast_weight: lambda; 0 reads each history once, without the loss.
            item_drop_share: of the batches, in which the second view drops items rather than
                words or features.
            item_drop_prob: of each item of a history, to be dropped or to lose words.
            feature_dropout_prob: of each raw feature where there is no second encoding.
            item_ids: transductive rather than inductive.
            id_init_std: standard deviation of the item ids at the start.

        Raises:
            ValueError: temperature or item_drop_share is outside its range, or no modality is in
                use.
        """
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature ({temperature}) must be above 0")
        if not 0 <= item_drop_share <= 1:
            raise ValueError(f"item_drop_share ({item_drop_share}) must be in [0, 1]")
        self._num_items = catalogue.num_items
        self._temperature = temperature
        self._contrast_weight = contrast_weight
        self._item_drop_share = item_drop_share
        self._item_drop_prob = item_drop_prob
        self.second_views = catalogue.second_views
        self.items = FeatureEmbedding(catalogue=catalogue, embed_dim=embed_dim, adapter=adapter)
        self.item_embeddings: IdEmbedding | None = None
        if item_ids:
            self.item_embeddings = IdEmbedding(
                catalogue=catalogue, embed_dim=embed_dim, init_std=id_init_std
            )
        self.encoder = encoder(embed_dim=embed_dim)
        self.feature_dropout = Dropout(feature_dropout_prob)
        self.objective = objective
        self.contrast = contrast

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of what `training_loss` says of its parts."""
        return ("ranking", *(("contrast",) if self._contrast_weight else ()))

    @property
    def each_prefix_alone(self) -> str | None:
        """The second view of the contrast is of one prefix; without the contrast, nothing."""
        return "the contrast makes a second view of each" if self._contrast_weight else None

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """Sequence-item loss (2.2.1), plus lambda x sequence-sequence loss (2.2.2)."""
        items = self._embed(batch.item_ids)
        user = F.normalize(before_targets(self.encoder, items, batch), dim=-1)
        ranking = next_item_loss(
            self.objective,
            self,
            user,
            batch.asked_ids,
            num_items=self._num_items,
            temperature=self._temperature,
        )
        if not self._contrast_weight:
            return TrainingLoss(ranking, {"ranking": ranking.detach()})
        contrast = self.contrast(user, self._second_view(batch.item_ids))
        return TrainingLoss(
            ranking + self._contrast_weight * contrast,
            {"ranking": ranking.detach(), "contrast": contrast.detach()},
        )

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) what the encoder says at the last item, at unit length."""
        return self._read(batch.item_ids)

    def candidates(self, item_ids: Tensor) -> Tensor:
        """(C, D) items at unit length."""
        return F.normalize(self._embed(item_ids), dim=-1)

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        """(B, C) cosines."""
        return inner_products(encoded, candidates)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that `score` follows from."""
        vectors = self.items.item_vectors(item_ids)
        if self.item_embeddings is not None:
            vectors = vectors._replace(ids=self.item_embeddings(item_ids))
        return vectors.divided_by(self._embed(item_ids).norm(dim=-1))

    def _embed(self, item_ids: Tensor, *, augment: Augmentation | None = None) -> Tensor:
        """(..., D) adapted features of items (...), with their ids in the transductive setting."""
        embeddings: Tensor = self.items(item_ids, augment=augment)
        if self.item_embeddings is not None:
            embeddings = embeddings + self.item_embeddings(item_ids)
        return embeddings

    def _read(self, item_ids: Tensor, *, augment: Augmentation | None = None) -> Tensor:
        """(B, D) unit vectors of histories (B, L)."""
        valid_mask = item_ids != PAD_ID
        items = self._embed(item_ids, augment=augment)
        return F.normalize(self.encoder.last(items, valid_mask=valid_mask, causal=True), dim=-1)

    def _second_view(self, item_ids: Tensor) -> Tensor:
        """(B, D) unit vectors of histories; one augmentation for all that this process has."""
        if torch.rand(()) < self._item_drop_share:
            return self._read(drop_items(item_ids, prob=self._item_drop_prob))
        return self._read(item_ids, augment=self._drop_words)

    def _drop_words(self, modality: str, item_ids: Tensor, features: Tensor) -> Tensor:
        """(P, F) features of items (P,), of some the second view; without any, features dropped."""
        if self.second_views is None or modality not in self.second_views.modalities:
            return self.feature_dropout(features)  # type: ignore[no-any-return]
        index = self.second_views.modalities.index(modality)
        draws = torch.rand(len(item_ids), device=item_ids.device)
        chosen = self.second_views.present(item_ids)[index] & (draws < self._item_drop_prob)
        rows = chosen.nonzero().squeeze(1)
        return features.index_copy(0, rows, self.second_views.lookup(index, item_ids[rows]))
