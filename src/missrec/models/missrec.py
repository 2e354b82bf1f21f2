"""MISSRec: multi-modal interest-aware sequence representation (Wang et al., ACM MM 2023)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.features.table import FeatureTable
from missrec.interests.index import InterestIndex
from missrec.nn.adapters import modality_adapters
from missrec.nn.dropout import Dropout
from missrec.nn.fusion import DynamicFusion, FixedFusion
from missrec.nn.item_embeddings import ItemEmbeddings, ScoredItems
from missrec.nn.linear import linear
from missrec.nn.pooling import places_from_end
from missrec.nn.precision import full_precision, repeated, single
from missrec.nn.rows import spread_rows
from missrec.nn.sequence_networks import EncodedSequence, ItemTokens
from missrec.objectives.ranking import RankingObjective, candidate_loss
from missrec.types import (
    Catalogue,
    InputsError,
    InterestReport,
    ItemRows,
    ItemVectors,
    SequenceBatch,
    TrainingLoss,
)

_ID_STD = 0.02


class MISSRec(nn.Module):
    """The paper's model; its settings and components also make the authors' public code.

    **Source**: MISSRec, sections 3.2-3.6, equations 1-10.
    **Differs**: u, x and xi are taken at unit length before any inner product, which the
    temperature of section 4.2.4 presupposes; an item without an image has no image token and no
    vote of one; the fused candidate v_k is never built, only its score (Eq. 2).
    """

    feature_bound = ("adapters",)
    each_prefix_alone = "MISSRec attends to all items and interests of each in both directions"
    _frozen_tokens: Tensor | None

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int | None,
        max_seq_len: int,
        adapter: Callable[[int, int], nn.Module],
        network: Callable[..., nn.Module],
        interests: Callable[..., InterestIndex],
        fusion: Callable[..., DynamicFusion | FixedFusion],
        objective: RankingObjective,
        temperature: float,
        orthogonality: Callable[[Tensor, Tensor], Tensor],
        orthogonality_weight: float,
        contrast: Callable[[Tensor, Tensor], Tensor],
        contrast_weight: float,
        feature_dropout_prob: float,
        item_ids: bool,
        normalize_ids: bool,
        modality_weight: float,
        id_weight: float,
        positions_from_end: bool,
        missing_as_zeros: bool,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run.
            embed_dim: D; None takes the width of the first modality's features.
            max_seq_len: longest history, L.
            adapter: (F, D) -> module, called once per modality.
            network: the sequence network without its width; says as `reads_items` whether the
                order of the items reaches it.
            interests: the interest index without the catalogue's tokens and the width.
            fusion: of the modality scores of a candidate, without the number of items.
            objective: the sequence-item loss.
            temperature: tau; scores are divided by it in the sequence-item loss.
            orthogonality: the regularisation of what the network calls interests.
            orthogonality_weight: gamma of Eq. 7 and 8.
            contrast: the sequence-sequence loss of two views.
            contrast_weight: lambda of Eq. 7; 0 reads each sequence once, without the loss.
            feature_dropout_prob: of the features of the histories in training (3.2.2).
            item_ids: transductive (Eq. 10) rather than inductive (Eq. 9).
            normalize_ids: take z at unit length in the score.
            modality_weight: of the fused score beside the ids; nothing without them.
            id_weight: of <u, z>.
            positions_from_end: position 0 is the most recent item, not the oldest.
            missing_as_zeros: a missing feature is a zero vector that passes the adapter, as in
                the released code, rather than no token.

        Raises:
            InputsError: no modality is in use.
            ValueError: temperature is not above 0.
        """
        super().__init__()
        if not catalogue.features.modalities:
            raise InputsError("MISSRec reads features, and the inputs are ids alone")
        if not temperature > 0:
            raise ValueError(f"temperature ({temperature}) must be above 0")
        self._temperature = temperature
        self._orthogonality_weight = orthogonality_weight
        self._contrast_weight = contrast_weight
        self._normalize_ids = normalize_ids
        self._modality_weight = modality_weight if item_ids else 1.0
        self._id_weight = id_weight
        self._positions_from_end = positions_from_end
        self._missing_as_zeros = missing_as_zeros
        self._augments = feature_dropout_prob > 0
        self._num_items = catalogue.num_items
        self.features = catalogue.features
        width = self.features.dims[0] if embed_dim is None else embed_dim
        self.feature_dropout = Dropout(feature_dropout_prob)
        self.adapters = modality_adapters(self.features, embed_dim=width, adapter=adapter)
        self.positions = nn.Embedding(max_seq_len, width)
        self.network = network(embed_dim=width)
        if not self.network.reads_items:
            self.positions.requires_grad_(False)  # nothing would reach them
        self.interests = interests(
            present=self.features.present(torch.arange(self._num_items + 1)), embed_dim=width
        )
        self.fusion = fusion(num_items=self._num_items)
        if self.features.num_modalities == 1:
            self.fusion.requires_grad_(False)  # alpha has nothing to weigh
        self.objective = objective
        self.orthogonality = orthogonality
        self.contrast = contrast
        self.item_embeddings: nn.Embedding | None = None
        if item_ids:
            self.item_embeddings = nn.Embedding(self._num_items + 1, width, padding_idx=0)
            nn.init.normal_(self.item_embeddings.weight, std=_ID_STD)
            nn.init.zeros_(self.item_embeddings.weight[0])
        nn.init.normal_(self.positions.weight, std=_ID_STD)
        self.register_buffer("_frozen_tokens", None, persistent=False)

    @property
    def domain_bound(self) -> tuple[str, ...]:
        """What a transfer leaves behind: ids, interests, and an alpha for each item."""
        per_item = [f"fusion.{name}" for name, p in self.fusion.named_parameters() if p.ndim]
        return ("item_embeddings", "interests", *per_item)

    @property
    def item_rows(self) -> tuple[ItemRows, ...]:
        """The id embeddings, in the transductive setting; the parts declare their own."""
        if self.item_embeddings is None:
            return ()
        return (ItemRows("item_embeddings.weight", dim=0, is_id=True),)

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of what `training_loss` says of its parts."""
        return ("ranking", "orthogonality", *(("contrast",) if self._contrast_weight else ()))

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """Sequence-item loss, gamma x orthogonality, lambda x sequence-sequence loss (Eq. 7, 8)."""
        candidate_ids = self.objective.candidate_ids(batch.target_ids, num_items=self._num_items)
        # Each item of the batch, in a history or a candidate, passes the adapters once a view.
        unique_ids, inverse = torch.unique(
            torch.cat([batch.item_ids.flatten(), candidate_ids]), return_inverse=True
        )
        history, candidates = inverse.split([batch.item_ids.numel(), len(candidate_ids)])
        items = self._embed(unique_ids)
        history = history.view_as(batch.item_ids)
        sequence = self._read(self._view(items), history, batch)
        user = F.normalize(sequence.sequence, dim=-1)
        ranking = candidate_loss(
            self.objective,
            self.score,
            user,
            self._scored(items.select(candidates)),
            torch.searchsorted(candidate_ids, batch.target_ids),
            num_candidates=len(candidate_ids),
            temperature=self._temperature,
        )
        orthogonal = self.orthogonality(sequence.interests, sequence.valid_mask)
        total = ranking + self._orthogonality_weight * orthogonal
        terms = {"ranking": ranking.detach(), "orthogonality": orthogonal.detach()}
        if self._contrast_weight:
            other = self._read(self._view(items), history, batch)
            contrast = self.contrast(user, F.normalize(other.sequence, dim=-1))
            total = total + self._contrast_weight * contrast
            terms["contrast"] = contrast.detach()
        return TrainingLoss(total, terms)

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) sequence embeddings u at unit length (MISSRec 3.4)."""
        if self._frozen_tokens is not None:
            items, history = self._embed(self._all_ids()), batch.item_ids
        else:
            unique_ids, history = torch.unique(batch.item_ids, return_inverse=True)
            items = self._embed(unique_ids)
        return F.normalize(self._read(items, history, batch).sequence, dim=-1)

    def candidates(self, item_ids: Tensor) -> ScoredItems:
        """Items (C,) ready to be scored."""
        return self._scored(self._embed(item_ids))

    def score(self, encoded: Tensor, candidates: ScoredItems) -> Tensor:
        """(B, C) <u, v + z>: the fused modality scores (Eq. 2), plus <u, z> (Eq. 10).

        Args:
            encoded: (B, D) from `encode`.
            candidates: from `candidates`.
        """
        item_ids, base, step, tokens, present = candidates
        # In bfloat16, 1 / temperature would blow the rounding of a score up to a twentieth.
        with full_precision(encoded.device.type):
            encoded = single(encoded)
            scores = encoded.new_zeros(()) if base is None else linear(encoded, base)
            if tokens is not None:
                by_modality = [linear(encoded, part) for part in tokens]  # M times (B, C)
                fused: Tensor = self.fusion(by_modality, present, item_ids)
                return scores + self._modality_weight * fused
            if step is None:
                return scores
            difference = linear(encoded, step)
            weights = self.fusion.second_weight(difference, item_ids)
            return torch.addcmul(scores, weights, difference, value=self._modality_weight)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that `score` follows from."""
        items = self._embed(item_ids)
        return ItemVectors(
            tuple(self.features.modalities),
            items.unit_tokens,
            items.present,
            alpha=self.fusion.alpha_of(item_ids),
            modality_weight=self._modality_weight,
            ids=self._scored_ids(items.ids),
            bias=None,
        )

    def item_tokens(self) -> Tensor:
        """(M, N + 1, D) adapted features of all items; only those that exist mean anything."""
        return self._embed(self._all_ids()).tokens

    @torch.no_grad()
    def freeze_items(self) -> None:
        """Adapts the features of all items once, see `FreezesItems`."""
        self._frozen_tokens = self.item_tokens()

    @torch.no_grad()
    def refresh_interests(self) -> InterestReport:
        """Clusters the current item tokens (MISSRec 3.3.1: before every training epoch)."""
        was_training = self.training
        self.eval()
        report = self.interests.refresh(self.item_tokens())
        self.train(was_training)
        return report

    @torch.no_grad()
    def place_items(self, item_ids: Tensor, features: FeatureTable) -> None:
        """Items (U,) that came after training join the interests nearest to their tokens."""
        self.interests.assign(item_ids, self._embed(item_ids).tokens)

    def _embed(self, item_ids: Tensor, *, augment: bool = False) -> ItemEmbeddings:
        """Items (U,), which may include padding; `augment` draws a dropout of the features."""
        exists = self.features.present(item_ids)
        present = torch.ones_like(exists) if self._missing_as_zeros else exists
        ids = None if self.item_embeddings is None else self.item_embeddings(item_ids)
        if self._frozen_tokens is not None:
            return ItemEmbeddings(item_ids, self._frozen_tokens[:, item_ids], present, ids)
        tokens = []
        for modality, adapter in enumerate(self.adapters.values()):
            # Only real features pass an adapter: its bias is no feature of a missing image.
            index = exists[modality].nonzero().squeeze(1)
            features = self.features.lookup(modality, item_ids[index])
            if augment:
                features = self.feature_dropout(features)
            if self._missing_as_zeros:
                tokens.append(adapter(spread_rows(features, index, len(item_ids))))
            else:
                tokens.append(spread_rows(adapter(features), index, len(item_ids)))
        return ItemEmbeddings(item_ids, torch.stack(tokens), present, ids)

    def _all_ids(self) -> Tensor:
        """(N + 1,) int64, padding and all items."""
        return torch.arange(self._num_items + 1, device=self.positions.weight.device)

    def _scored(self, items: ItemEmbeddings) -> ScoredItems:
        ids = self._scored_ids(items.ids)
        return ScoredItems.of(items, modality_weight=self._modality_weight, ids=ids)

    def _scored_ids(self, ids: Tensor | None) -> Tensor | None:
        """(C, D) z as it adds to the score."""
        if ids is None:
            return None
        return self._id_weight * (F.normalize(ids, dim=-1) if self._normalize_ids else ids)

    def _view(self, items: ItemEmbeddings) -> ItemEmbeddings:
        """The items as one reading of the histories sees them: augmented anew (MISSRec 3.2.2)."""
        if not (self.training and self._augments):
            return items
        return self._embed(items.item_ids, augment=True)

    def _read(
        self, items: ItemEmbeddings, history: Tensor, batch: SequenceBatch
    ) -> EncodedSequence:
        """The sequence network over the histories.

        Args:
            items: the items of the batch.
            history: (B, L) index into `items`.
            batch: for its ids.
        """
        shared = self.positions(self._position_ids(batch))  # (B, L, D)
        if items.ids is not None:
            shared = shared + repeated(items.ids, history)
        tokens = ItemTokens(
            modalities=torch.stack([repeated(part, history) for part in items.tokens], dim=1),
            present=items.present[:, history].transpose(0, 1) & batch.valid_mask[:, None],
            shared=shared,
            valid_mask=batch.valid_mask,
        )
        encoded: EncodedSequence = self.network(tokens, self.interests(batch.item_ids))
        return encoded

    def _position_ids(self, batch: SequenceBatch) -> Tensor:
        """(B, L), one per item: its tokens of all modalities share it (MISSRec 3.4.1)."""
        if self._positions_from_end:
            return places_from_end(batch.valid_mask)
        steps = torch.arange(batch.item_ids.shape[1], device=batch.item_ids.device)
        return steps.expand_as(batch.item_ids)
