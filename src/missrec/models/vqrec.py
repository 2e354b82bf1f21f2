"""VQ-Rec: vector-quantised item representations (Hou et al., WWW 2023)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.features.table import FeatureTable
from missrec.nn.code_embedding import CodeEmbedding
from missrec.nn.precision import inner_products, single
from missrec.nn.sequence_encoder import SequenceEncoder, before_targets
from missrec.objectives.ranking import RankingObjective, candidate_loss
from missrec.types import Catalogue, ItemVectors, SequenceBatch, TrainingLoss


class VQRec(nn.Module):
    """A causal Transformer over items known by discrete codes of their features alone.

    The score is the cosine of the encoder's output at the last item and the item's embedding.
    Pre-training mixes domains in a batch, whose targets are each other's negatives, and gives each
    target a semi-synthetic negative besides; fine-tuning learns a permutation of the codewords
    first, then their embeddings.

    **Source**: sections 3.1-3.3 and the public code.
    **Differs**: in pre-training the targets that repeat the row's own are left out of its sum,
    where the public code adds 1 for each; parts as `CodeEmbedding`, `CodewordPermutation` and
    `SequenceEncoder`.
    """

    domain_bound = ("items.codewords", "items.present", "items.permutation", "items.codebooks")
    feature_bound = ()
    stage_bound = ("items.permutation.logits", "items.codebooks")  # those of the run are the same
    loss_terms = ("ranking",)
    each_prefix_alone = None

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        items: Callable[..., CodeEmbedding],
        encoder: Callable[..., SequenceEncoder],
        objective: RankingObjective,
        temperature: float,
        synthetic_prob: float,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run.
            embed_dim: D.
            items: embeds items, `CodeEmbedding` without catalogue and width.
            encoder: the sequence encoder without its width.
            objective: the loss.
            temperature: tau; cosines are divided by it in the loss.
            synthetic_prob: rho, the probability with which a semi-synthetic negative has another
                codeword than its target; 0 makes no such negatives.

        Raises:
            ValueError: temperature or synthetic_prob is outside its range.
        """
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature ({temperature}) must be above 0")
        if not 0 <= synthetic_prob <= 1:
            raise ValueError(f"synthetic_prob ({synthetic_prob}) must be in [0, 1]")
        self._num_items = catalogue.num_items
        self._temperature = temperature
        self._synthetic_prob = synthetic_prob
        self.items = items(catalogue=catalogue, embed_dim=embed_dim)
        self.encoder = encoder(embed_dim=embed_dim)
        self.objective = objective

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """The objective's loss of the targets (section 3.2).

        In pre-training -log e(v) / (sum of e(v_j) over the batch + e(v~)), where e(v) is
        exp(cos(u, v) / tau) and v~ the semi-synthetic negative that is made of the target v.
        """
        targets = batch.asked_ids
        candidate_ids = self.objective.candidate_ids(targets, num_items=self._num_items)
        # In one call: where a permutation is learned, both see the same draw of it.
        embedded = self.items(torch.cat([batch.item_ids.flatten(), candidate_ids]))
        history, candidates = embedded.split([batch.item_ids.numel(), len(candidate_ids)])
        history = history.view(*batch.item_ids.shape, -1)
        user = F.normalize(before_targets(self.encoder, history, batch), dim=-1)
        own_negatives = None
        if self._synthetic_prob:
            synthetic = self.items.synthetic(targets, prob=self._synthetic_prob)
            own = (single(user) * F.normalize(synthetic, dim=-1)).sum(dim=-1, keepdim=True)
            own_negatives = own / self._temperature
        loss = candidate_loss(
            self.objective,
            self.score,
            user,
            F.normalize(candidates, dim=-1),
            torch.searchsorted(candidate_ids, targets),
            num_candidates=len(candidate_ids),
            temperature=self._temperature,
            own_negatives=own_negatives,
        )
        return TrainingLoss(loss, {"ranking": loss.detach()})

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) what the encoder says at the last item, at unit length."""
        return self._read(self.items(batch.item_ids), batch)

    def candidates(self, item_ids: Tensor) -> Tensor:
        """(C, D) items at unit length; zeros where an item has no codes."""
        return F.normalize(self.items(item_ids), dim=-1)

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        """(B, C) cosines."""
        return inner_products(encoded, candidates)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that `score` follows from."""
        return self.items.item_vectors(item_ids).divided_by(self.items(item_ids).norm(dim=-1))

    def place_items(self, item_ids: Tensor, features: FeatureTable) -> None:
        """Items (U,) that came after training are coded by the codebooks of the training."""
        self.items.place(item_ids, features)

    def _read(self, history: Tensor, batch: SequenceBatch) -> Tensor:
        """(B, D) unit vectors of embedded histories (B, L, D)."""
        last = self.encoder.last(history, valid_mask=batch.valid_mask, causal=True)
        return F.normalize(last, dim=-1)
