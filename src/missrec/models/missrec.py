"""MISSRec: multi-modal interest-aware sequence representation (Wang et al., ACM MM 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.interests.index import InterestIndex, InterestTokens
from missrec.nn.encoder_decoder import Decoded, EncoderDecoder
from missrec.nn.fusion import DynamicFusion
from missrec.nn.pooling import masked_mean
from missrec.objectives.orthogonality import orthogonality
from missrec.objectives.ranking import RankingObjective
from missrec.types import Catalogue, InterestReport, SequenceBatch, TrainingLoss

_ID_STD = 0.02


class ItemEmbeddings(NamedTuple):
    """Items as the model sees them.

    Attributes:
        tokens: (M, U, D) adapted features x^m; zeros where the item lacks the modality.
        present: (M, U) bool, True where the item has the modality.
        ids: (U, D) id embeddings z; None in the inductive setting.
    """

    tokens: Tensor
    present: Tensor
    ids: Tensor | None

    def select(self, index: Tensor) -> ItemEmbeddings:
        """The items at `index` (C,)."""
        ids = None if self.ids is None else self.ids[index]
        return ItemEmbeddings(self.tokens[:, index], self.present[:, index], ids)


class MISSRec(nn.Module):
    """The paper's model.

    **Source**: MISSRec, sections 3.2-3.6, equations 1-10.
    **Differs**: u, x and xi are taken at unit length before any inner product, which the
    temperature of section 4.2.4 presupposes; an item without an image has no image token and no
    vote of one; the fused candidate v_k is never built, only its score (Eq. 2).
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        max_seq_len: int,
        adapter: Callable[[int, int], nn.Module],
        network: Callable[..., EncoderDecoder],
        interests: Callable[..., InterestIndex],
        fusion: DynamicFusion,
        objective: RankingObjective,
        orthogonality_weight: float,
        item_ids: bool,
        normalize_ids: bool,
        positions_from_end: bool,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run.
            embed_dim: D.
            max_seq_len: longest history, L.
            adapter: (F, D) -> module, called once per modality.
            network: the sequence network without its width.
            interests: the interest index without the catalogue's tokens and the width.
            fusion: of the modality scores of a candidate.
            objective: the sequence-item loss.
            orthogonality_weight: gamma of Eq. 7 and 8.
            item_ids: transductive (Eq. 10) rather than inductive (Eq. 9).
            normalize_ids: take z at unit length in the score.
            positions_from_end: position 0 is the most recent item, not the oldest.
        """
        super().__init__()
        self._max_seq_len = max_seq_len
        self._orthogonality_weight = orthogonality_weight
        self._normalize_ids = normalize_ids
        self._positions_from_end = positions_from_end
        self._num_items = catalogue.num_items
        self.features = catalogue.features
        self.adapters = nn.ModuleDict(
            {
                modality: adapter(dim, embed_dim)
                for modality, dim in zip(self.features.modalities, self.features.dims, strict=True)
            }
        )
        self.positions = nn.Embedding(max_seq_len, embed_dim)
        self.network = network(embed_dim=embed_dim)
        self.interests = interests(
            present=self.features.present(torch.arange(self._num_items + 1)), embed_dim=embed_dim
        )
        self.fusion = fusion
        if self.features.num_modalities == 1:
            self.fusion.requires_grad_(False)  # alpha has nothing to weigh
        self.objective = objective
        self.item_embeddings: nn.Embedding | None = None
        if item_ids:
            self.item_embeddings = nn.Embedding(self._num_items + 1, embed_dim, padding_idx=0)
            nn.init.normal_(self.item_embeddings.weight, std=_ID_STD)
            nn.init.zeros_(self.item_embeddings.weight[0])
        nn.init.normal_(self.positions.weight, std=_ID_STD)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """The sequence-item loss plus gamma times the orthogonality (MISSRec Eq. 8)."""
        candidate_ids = self.objective.candidate_ids(batch.target_ids, num_items=self._num_items)
        # Each item of the batch, in a history or a candidate, passes the adapters once.
        unique_ids, inverse = torch.unique(
            torch.cat([batch.item_ids.flatten(), candidate_ids]), return_inverse=True
        )
        history, candidates = inverse.split([batch.item_ids.numel(), len(candidate_ids)])
        items = self._embed(unique_ids)
        decoded = self._decode(items, history.view_as(batch.item_ids), batch)
        scores = self.score(_sequence_embedding(decoded), _as_candidates(items.select(candidates)))
        ranking = self.objective(scores, torch.searchsorted(candidate_ids, batch.target_ids))
        orthogonal = orthogonality(*decoded)
        return TrainingLoss(
            ranking + self._orthogonality_weight * orthogonal,
            {"ranking": ranking.detach(), "orthogonality": orthogonal.detach()},
        )

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) sequence embeddings u at unit length (MISSRec 3.4)."""
        unique_ids, history = torch.unique(batch.item_ids, return_inverse=True)
        return _sequence_embedding(self._decode(self._embed(unique_ids), history, batch))

    def candidates(self, item_ids: Tensor) -> ItemEmbeddings:
        """Items (C,) ready to be scored: tokens at unit length."""
        return _as_candidates(self._embed(item_ids))

    def score(self, encoded: Tensor, candidates: ItemEmbeddings) -> Tensor:
        """(B, C) <u, v + z>: the fused modality scores (Eq. 2), plus <u, z> (Eq. 10).

        Args:
            encoded: (B, D) from `encode`.
            candidates: from `candidates`.
        """
        by_modality = torch.stack([encoded @ tokens.T for tokens in candidates.tokens])  # (M, B, C)
        scores: Tensor = self.fusion(by_modality, candidates.present)
        if candidates.ids is not None:
            ids = F.normalize(candidates.ids, dim=-1) if self._normalize_ids else candidates.ids
            scores = scores + encoded @ ids.T
        return scores

    @torch.no_grad()
    def refresh_interests(self) -> InterestReport:
        """Clusters the current item tokens (MISSRec 3.3.1: before every training epoch)."""
        was_training = self.training
        self.eval()
        all_ids = torch.arange(self._num_items + 1, device=self.positions.weight.device)
        report = self.interests.refresh(self._embed(all_ids).tokens)
        self.train(was_training)
        return report

    def _embed(self, item_ids: Tensor) -> ItemEmbeddings:
        """Items (U,), which may include padding."""
        present = self.features.present(item_ids)
        tokens = []
        for modality, adapter in enumerate(self.adapters.values()):
            # Only real features pass an adapter: its bias is no feature of a missing image.
            index = present[modality].nonzero().squeeze(1)
            adapted = adapter(self.features.lookup(modality, item_ids[index]))
            empty = adapted.new_zeros(len(item_ids), adapted.shape[-1])
            tokens.append(empty.index_copy(0, index, adapted))
        ids = None if self.item_embeddings is None else self.item_embeddings(item_ids)
        return ItemEmbeddings(torch.stack(tokens), present, ids)

    def _decode(self, items: ItemEmbeddings, history: Tensor, batch: SequenceBatch) -> Decoded:
        """Context encoder and interest-aware decoder.

        Args:
            items: the items of the batch.
            history: (B, L) index into `items`.
            batch: for its ids.
        """
        sources = items.tokens if items.ids is None else items.tokens + items.ids
        tokens = torch.stack([F.embedding(history, source) for source in sources], dim=1)
        tokens = tokens + self.positions(self._position_ids(batch))[:, None]  # (B, M, L, D)
        token_mask = items.present[:, history].transpose(0, 1)  # (B, M, L)
        interests: InterestTokens = self.interests(batch.item_ids)
        decoded: Decoded = self.network(
            tokens.flatten(1, 2),
            interests.embeddings,
            token_mask=token_mask.flatten(1),
            query_mask=interests.valid_mask,
        )
        return decoded

    def _position_ids(self, batch: SequenceBatch) -> Tensor:
        """(B, L), one per item: its tokens of all modalities share it (MISSRec 3.4.1)."""
        steps = torch.arange(batch.item_ids.shape[1], device=batch.item_ids.device)
        if not self._positions_from_end:
            return steps.expand_as(batch.item_ids)
        lengths = batch.valid_mask.sum(dim=1, keepdim=True)
        return (lengths - 1 - steps).clamp_min(0)


def _sequence_embedding(decoded: Decoded) -> Tensor:
    """(B, D) u, the mean of the decoded interests at unit length."""
    return F.normalize(masked_mean(decoded.embeddings, decoded.valid_mask), dim=-1)


def _as_candidates(items: ItemEmbeddings) -> ItemEmbeddings:
    return items._replace(tokens=F.normalize(items.tokens, dim=-1))
