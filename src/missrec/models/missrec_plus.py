"""MISSRec+: voters of one feature set each, and the neighbors of the items of the history."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.adapters import modality_adapters
from missrec.nn.item_embeddings import IdEmbedding
from missrec.nn.item_neighbors import ItemNeighbors
from missrec.nn.precision import inner_products, repeated, single
from missrec.nn.rows import spread_rows
from missrec.nn.sequence_encoder import CausalEncoder, before_targets
from missrec.objectives.ranking import RankingObjective, candidate_loss
from missrec.types import (
    SMALLEST_LENGTH,
    Catalogue,
    InputsError,
    ItemVectors,
    SequenceBatch,
    TrainingLoss,
)


class MISSRecPlus(nn.Module):
    """The mean of the voters' cosines of user and item, plus the votes of `ItemNeighbors`.

    A voter sees one feature set, with ids of its own: an adapter, a causal Transformer, a softmax
    over the candidates. The voters share nothing and learn apart, so that they err apart. They
    learn without the neighbors, who know the training sequences too well, having counted them.

    **Differs** from MISSRec (Wang et al., ACM MM 2023): there all modalities are tokens of one
    sequence, and one user vector scores them all (Eq. 2); here each modality has its own. Nothing
    is clustered. docs/missrec_plus.md tells what was tried. V below is the number of voters, those
    of the first feature set first; R is the width of what the neighbors read, 0 without any.
    """

    domain_bound = ("item_embeddings", "neighbors")
    feature_bound = ("adapters", "encoders")
    loss_terms = ("ranking",)
    _frozen_tokens: Tensor | None

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        adapter: Callable[[int, int], nn.Module],
        encoder: Callable[..., nn.Module],
        objective: RankingObjective,
        temperature: float,
        item_ids: bool,
        id_init_std: float,
        num_voters: int,
        neighbors: Callable[..., ItemNeighbors] | None = None,
        neighbors_weight: float = 0.0,
    ) -> None:
        """Builds voters and neighbors.

        Args:
            catalogue: the items of the run.
            embed_dim: D of each voter.
            adapter: (F, D) -> module, called once for each feature set.
            encoder: the sequence encoder of a voter without its width, a `CausalEncoder`.
            objective: the loss of each voter.
            temperature: tau; cosines are divided by it in the loss.
            item_ids: transductive rather than inductive.
            id_init_std: standard deviation of the ids at the start.
            num_voters: of each feature set.
            neighbors: makes them of a catalogue; None: voters alone.
            neighbors_weight: of the neighbors' votes beside the voters' mean cosine.

        Raises:
            InputsError: no feature set is in use.
            ValueError: temperature is not above 0, or num_voters below 1.
        """
        super().__init__()
        if not catalogue.features.modalities:
            raise InputsError("voters read features, and the inputs are ids alone")
        if not temperature > 0:
            raise ValueError(f"temperature ({temperature}) must be above 0")
        if num_voters < 1:
            raise ValueError(f"num_voters ({num_voters}) must be at least 1")
        self._num_items = catalogue.num_items
        self._temperature = temperature
        self._num_voters = num_voters
        self.features = catalogue.features

        def several(make: Callable[..., nn.Module], *args: Any, **settings: Any) -> nn.ModuleList:
            return nn.ModuleList(make(*args, **settings) for _ in range(num_voters))

        self.adapters = modality_adapters(
            self.features, embed_dim=embed_dim, adapter=partial(several, adapter)
        )
        self.item_embeddings = nn.ModuleDict()
        if item_ids:
            ids = partial(
                IdEmbedding, catalogue=catalogue, embed_dim=embed_dim, init_std=id_init_std
            )
            self.item_embeddings.update({name: several(ids) for name in self.adapters})
        self.encoders = nn.ModuleDict(
            {name: several(encoder, embed_dim=embed_dim) for name in self.adapters}
        )
        self.objective = objective
        self.register_buffer("_frozen_tokens", None, persistent=False)
        self.neighbors: ItemNeighbors | None = None
        self._neighbors_weight = neighbors_weight
        if neighbors is not None:
            self.neighbors = neighbors(catalogue=catalogue, item_ids=item_ids)
            # Counts are no product of vectors; a method that is None is one that a model has not.
            self.item_vectors = None  # type: ignore[assignment, method-assign]

    @property
    def each_prefix_alone(self) -> str | None:
        """What the encoders say of it."""
        (encoder, *_), *_ = self._by_set(self.encoders)
        return getattr(encoder, "each_prefix_alone", None)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """The mean of the voters' losses."""
        target_ids = batch.asked_ids
        candidate_ids = self.objective.candidate_ids(target_ids, num_items=self._num_items)
        target_index = torch.searchsorted(candidate_ids, target_ids)
        # Each item of the batch, in a history or a candidate, passes the adapters once.
        unique_ids, inverse = torch.unique(
            torch.cat([batch.item_ids.flatten(), candidate_ids]), return_inverse=True
        )
        history, candidates = inverse.split([batch.item_ids.numel(), len(candidate_ids)])
        history = history.view_as(batch.item_ids)
        embedded = self._embed(unique_ids)
        users = self._read(embedded, history, batch)
        losses = [
            candidate_loss(
                self.objective,
                inner_products,
                user,
                F.normalize(items[candidates], dim=-1),
                target_index,
                num_candidates=len(candidate_ids),
                temperature=self._temperature,
            )
            for user, items in zip(users, embedded, strict=True)
        ]
        ranking = torch.stack(losses).mean()
        return TrainingLoss(ranking, {"ranking": ranking.detach()})

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, V D + R) what each voter says at the last item, at unit length, and the neighbors."""
        if self._frozen_tokens is not None:
            unique_ids, history = self.features.all_ids(), batch.item_ids
        else:
            unique_ids, history = torch.unique(batch.item_ids, return_inverse=True)
        users = self._read(self._embed(unique_ids), history, batch)
        if self.neighbors is not None:
            users.append(self._neighbors_weight * self.neighbors.encode(batch))
        return torch.cat(users, dim=-1)

    def candidates(self, item_ids: Tensor) -> tuple[Tensor, Any]:
        """(C, V D) items at unit length by voter, over the number of voters that know them.

        Beside them the items as the neighbors know them, or None.
        """
        vectors = [F.normalize(items, dim=-1) for items in self._embed(item_ids)]
        known = torch.cat(vectors, dim=-1) / self._num_knowing(item_ids)[:, None]
        return known, None if self.neighbors is None else self.neighbors.candidates(item_ids)

    def score(self, encoded: Tensor, candidates: tuple[Tensor, Any]) -> Tensor:
        """(B, C) the mean of the voters' cosines, plus what the neighbors say."""
        vectors, neighbors = candidates
        width = vectors.shape[1]
        scores = inner_products(encoded[:, :width], vectors)
        if self.neighbors is not None:
            scores = scores + self.neighbors.score(encoded[:, width:], neighbors)
        return scores

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """Items (C,) as the vectors that the voters' `score` follows from, each's standing apart.

        `ItemVectors` takes the mean over the features that an item has; the score's is over the
        voters that know it, which with ids are all.
        """
        tokens, present = self._adapt(item_ids)
        ids_of_voters = self._ids(item_ids)
        embedded = torch.stack(_sums(tokens, ids_of_voters))
        lengths = embedded.norm(dim=-1).clamp_min(SMALLEST_LENGTH)
        shares = 1 / (lengths * self._num_knowing(item_ids))  # (V, C)
        weights = shares * present.sum(dim=0)
        shown = torch.stack(
            [self._side_by_side(tokens, weights, of=place) for place in range(len(present))]
        )
        ids = self._side_by_side(ids_of_voters, shares) if ids_of_voters else None
        return ItemVectors(
            tuple(self.adapters),
            single(shown),
            present,
            alpha=lengths.new_zeros(()),
            modality_weight=1.0,
            ids=None if ids is None else single(ids),
            bias=None,
        )

    @torch.no_grad()
    def freeze_items(self) -> None:
        """Adapts the features of all items once, see `FreezesItems`."""
        self._frozen_tokens = torch.stack(self._adapt(self.features.all_ids())[0])

    def _adapt(self, item_ids: Tensor) -> tuple[list[Tensor], Tensor]:
        """V times (U, D), items (U,) as the voters' adapters make them; zeros without a feature.

        Beside them (S, U) which of the S feature sets an item has.
        """
        present = self.features.present(item_ids)
        if self._frozen_tokens is not None:
            return list(self._frozen_tokens[:, item_ids]), present
        tokens = []
        for place, adapters in enumerate(self._by_set(self.adapters)):
            index = present[place].nonzero().squeeze(1)  # once: a device is waited for
            features = self.features.lookup(place, item_ids[index])
            for adapter in adapters:
                tokens.append(spread_rows(adapter(features), index, len(item_ids)))
        return tokens, present

    def _ids(self, item_ids: Tensor) -> list[Tensor]:
        """V times (U, D) the voters' ids of items (U,); none in the inductive setting."""
        return [part(item_ids) for parts in self._by_set(self.item_embeddings) for part in parts]

    def _embed(self, item_ids: Tensor) -> list[Tensor]:
        """V times (U, D), items (U,) as the voters see them: adapted, and their ids where any."""
        return _sums(self._adapt(item_ids)[0], self._ids(item_ids))

    def _read(self, embedded: list[Tensor], history: Tensor, batch: SequenceBatch) -> list[Tensor]:
        """V times (P, D), what the voters say where items are to be predicted, at unit length.

        Args:
            embedded: V times (U, D), items as the voters see them.
            history: (B, L) index into them.
            batch: of these histories.
        """
        encoders = [encoder for parts in self._by_set(self.encoders) for encoder in parts]
        return [
            F.normalize(
                before_targets(cast("CausalEncoder", encoder), repeated(items, history), batch),
                dim=-1,
            )
            for encoder, items in zip(encoders, embedded, strict=True)
        ]

    @staticmethod
    def _by_set(parts: nn.ModuleDict) -> list[nn.ModuleList]:
        """The voters' parts of each feature set."""
        return [cast("nn.ModuleList", of_set) for of_set in parts.values()]

    def _num_knowing(self, item_ids: Tensor) -> Tensor:
        """(C,) how many voters know something of an item; at least 1."""
        if self.item_embeddings:
            return item_ids.new_full(item_ids.shape, self._num_voters * len(self.adapters))
        return (self._num_voters * self.features.present(item_ids).sum(dim=0)).clamp_min(1)

    def _side_by_side(
        self, vectors: list[Tensor], weights: Tensor, *, of: int | None = None
    ) -> Tensor:
        """(C, V D) vectors of the voters times their weights; zeros in the places of others.

        Args:
            vectors: V times (C, D).
            weights: (V, C).
            of: the feature set whose voters stand there; None: all.
        """
        return torch.cat(
            [
                part * weight[:, None] if of in (None, voter // self._num_voters) else part * 0
                for voter, (part, weight) in enumerate(zip(vectors, weights, strict=True))
            ],
            dim=-1,
        )


def _sums(tokens: list[Tensor], ids: list[Tensor]) -> list[Tensor]:
    """Adapted features and ids of each voter together; without ids the former."""
    return [token + z for token, z in zip(tokens, ids, strict=True)] if ids else tokens
