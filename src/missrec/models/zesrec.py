"""ZESRec: zero-shot recommender systems (Ding et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from missrec.nn.item_embeddings import FeatureEmbedding, IdEmbedding
from missrec.nn.precision import inner_products
from missrec.nn.sequence_encoder import CausalEncoder, before_targets
from missrec.objectives.ranking import RankingObjective, next_item_loss
from missrec.types import Catalogue, ItemVectors, SequenceBatch, TrainingLoss


class ZESRec(nn.Module):
    """A recurrent network over universal item embeddings; the score is <u, v>.

    An item is v_j = f_e(x_j) + epsilon_j, its text through the item network plus an offset from
    N(0, 1 / lambda_v); a user is u = f_seq(v_1, ..., v_t). Offsets belong to the domain that they
    were learned in: elsewhere v_j is its prior mean f_e(x_j), so the model ranks items and users
    that it never saw.

    **Source**: section 3, the generative process and its maximum a posteriori solution.
    **Differs**: no offset of the user, which is lambda_u -> infinity: one belongs to a single step
    of a single user, and nothing would use it again. The network is a GRU without the sessions of
    a hierarchical one, which these data do not have. A missing text is as in `FeatureEmbedding`.
    """

    domain_bound = ("item_offsets",)
    feature_bound = ("items",)
    each_prefix_alone = None

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        adapter: Callable[[int, int], nn.Module],
        encoder: Callable[..., CausalEncoder],
        objective: RankingObjective,
        item_offsets: bool,
        item_precision: float,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run.
            embed_dim: D.
            adapter: (F, D) -> module, the item network f_e.
            encoder: the sequence encoder f_seq without its width.
            objective: the negative log-likelihood of the targets.
            item_offsets: items have offsets; without them, lambda_v -> infinity.
            item_precision: lambda_v of the offsets' prior, at least 0.

        Raises:
            ValueError: item_precision is below 0.
        """
        super().__init__()
        if not item_precision >= 0:
            raise ValueError(f"item_precision ({item_precision}) must be at least 0")
        self._num_items = catalogue.num_items
        _, starts, ends = catalogue.train_sequences
        self._num_targets = max(1, int((ends - starts - 1).clamp_min(0).sum()))
        self._item_precision = item_precision
        self.items = FeatureEmbedding(catalogue=catalogue, embed_dim=embed_dim, adapter=adapter)
        self.item_offsets: IdEmbedding | None = None
        if item_offsets:
            self.item_offsets = IdEmbedding(catalogue=catalogue, embed_dim=embed_dim, init_std=0.0)
        self.encoder = encoder(embed_dim=embed_dim)
        self.objective = objective

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of what `training_loss` says of its parts."""
        return ("ranking", *(("prior",) if self.item_offsets is not None else ()))

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """The negative log posterior of a target, as the batch estimates it.

        The mean negative log-likelihood of the targets, plus lambda_v / 2 sum_j |epsilon_j|^2 over
        the number of targets: all that training sees of each user but the first item.
        """
        users = before_targets(self.encoder, self.candidates(batch.item_ids), batch)
        ranking = next_item_loss(
            self.objective, self, users, batch.asked_ids, num_items=self._num_items
        )
        if self.item_offsets is None:
            return TrainingLoss(ranking, {"ranking": ranking.detach()})
        squares = self.item_offsets.weight.square().sum()
        prior = self._item_precision / 2 * squares / self._num_targets
        return TrainingLoss(ranking + prior, {"ranking": ranking.detach(), "prior": prior.detach()})

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) users u, what the encoder says at the last item."""
        items = self.candidates(batch.item_ids)
        return self.encoder.last(items, valid_mask=batch.valid_mask, causal=True)

    def candidates(self, item_ids: Tensor) -> Tensor:
        """(..., D) items v of ids (...)."""
        embeddings: Tensor = self.items(item_ids)
        if self.item_offsets is not None:
            embeddings = embeddings + self.item_offsets(item_ids)
        return embeddings

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        """(B, C) inner products, the logits of the next item."""
        return inner_products(encoded, candidates)

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that `score` follows from."""
        vectors = self.items.item_vectors(item_ids)
        if self.item_offsets is None:
            return vectors
        return vectors._replace(ids=self.item_offsets(item_ids))
