"""The interests of a run: prototypes, and which one each item token belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.distributed import batch_largest, from_first
from missrec.interests.clustering import Clustering
from missrec.types import InterestReport, ItemRows

NO_INTEREST = -1
_AT_ONCE = 4096
"""Tokens whose distances to all prototypes exist at a time."""


class InterestTokens(NamedTuple):
    """The interests of a batch of sequences, each once.

    Attributes:
        embeddings: (B, K, D) prototypes; zeros where there is none.
        valid_mask: (B, K) bool, True = real interest.
    """

    embeddings: Tensor
    valid_mask: Tensor


class InterestMembers(NamedTuple):
    """Every item token with its interest; the tokens of one modality by rising item id.

    Attributes:
        modalities: (T,) int64, index of the modality.
        item_ids: (T,) int64.
        interests: (T,) int64.
        distances: (T,) Euclidean, to the prototype.
    """

    modalities: Tensor
    item_ids: Tensor
    interests: Tensor
    distances: Tensor


class InterestIndex(nn.Module):
    """The prototypes and the token -> interest index.

    **Source**: MISSRec section 3.3.

    All state has its final shape from construction and travels with checkpoints; `refresh` fills
    it in place. It is bound to the items of the run. Where state is loaded that was found among
    other items, there are as many prototypes as there were, until the next refresh.

    Attributes:
        prototypes: (K_c, D).
        interest_of_item: (M, N + 1) int64, `NO_INTEREST` where the item lacks the modality.
        num_refreshes: () int64.
        report: of the last refresh in this process; None before.
    """

    item_rows = (ItemRows("interest_of_item", dim=1, is_id=False),)
    _present: Tensor
    prototypes: Tensor
    interest_of_item: Tensor
    num_refreshes: Tensor

    def __init__(
        self,
        *,
        present: Tensor,
        embed_dim: int,
        ratio: float,
        clustering: Clustering,
        normalize_tokens: bool,
        padding_slot: bool,
    ) -> None:
        """Allocates the state.

        Args:
            present: (M, N + 1) bool, True where an item has a modality.
            embed_dim: D.
            ratio: K_c = ratio x number of tokens, in (0, 1].
            clustering: finds the prototypes.
            normalize_tokens: cluster the tokens at unit length.
            padding_slot: the interests of a batch have one empty slot more than the longest needs,
                as in the released code, where padding is an interest of its own.

        Raises:
            ValueError: ratio is out of range, or no item has any modality.
        """
        super().__init__()
        num_tokens = int(present.sum())
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio ({ratio}) must be in (0, 1]")
        if not num_tokens:
            raise ValueError("no item has a feature of these modalities; there are no tokens")
        self._clustering = clustering
        self._normalize_tokens = normalize_tokens
        self._padding_slots = int(padding_slot)
        self._num_interests = max(1, round(ratio * num_tokens))
        self.report: InterestReport | None = None
        self.register_buffer("_present", present, persistent=False)
        self.register_buffer("prototypes", torch.zeros(self._num_interests, embed_dim))
        self.register_buffer(
            "interest_of_item", torch.full(present.shape, NO_INTEREST, dtype=torch.int64)
        )
        self.register_buffer("num_refreshes", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def refresh(self, item_tokens: Tensor) -> InterestReport:
        """Clusters the tokens of all items and replaces prototypes and assignment in place.

        Args:
            item_tokens: (M, N + 1, D); values where an item lacks a modality are not read.
        """
        tokens = self._tokens(item_tokens)
        found = self._clustering(tokens, num_clusters=self._num_interests)
        # Whatever a device rounds differently, no process works with other interests.
        prototypes, assignment = map(from_first, found)
        sizes = assignment.bincount(minlength=self._num_interests)
        drift = 0.0
        if self.num_refreshes > 0:
            before = self.prototypes[self.interest_of_item[self._present]]
            now = prototypes[assignment]
            moved = 1 - F.cosine_similarity(before, now)
            # Zero prototypes have no direction; one that stayed as it was has not moved.
            drift = float(moved.masked_fill((before == now).all(dim=1), 0).mean())
        self.prototypes.resize_(prototypes.shape).copy_(prototypes)  # DDP knows the tensor
        self.interest_of_item[self._present] = assignment
        self.num_refreshes += 1
        self.report = InterestReport(num_live=int((sizes > 0).sum()), drift=drift)
        return self.report

    @torch.no_grad()
    def assign(self, item_ids: Tensor, tokens: Tensor) -> None:
        """Gives items the interests nearest to their tokens, of those that have a member.

        Args:
            item_ids: (U,) items that had no part in the last refresh.
            tokens: (M, U, D); values where an item lacks a modality are not read.
        """
        live: Tensor = torch.unique(self.interest_of_item[self.interest_of_item != NO_INTEREST])
        if not len(live):
            return  # before the first refresh no item has any
        prototypes = self.prototypes[live]
        for modality, present in enumerate(self._present[:, item_ids]):
            found = tokens[modality][present]
            if self._normalize_tokens:
                found = F.normalize(found, dim=-1)
            parts = torch.split(found, _AT_ONCE)
            nearest = torch.cat([torch.cdist(part, prototypes).argmin(dim=1) for part in parts])
            self.interest_of_item[modality, item_ids[present]] = live[nearest]

    @torch.no_grad()
    def members(self, item_tokens: Tensor) -> InterestMembers:
        """The interest of each token and how far the token lies from its prototype.

        Args:
            item_tokens: (M, N + 1, D), as for `refresh`; those of now, so after training steps
                they have moved on since the prototypes were found.
        """
        modalities, item_ids = self._present.nonzero().unbind(dim=1)
        interests = self.interest_of_item[self._present]
        distances = torch.linalg.vector_norm(
            self._tokens(item_tokens) - self.prototypes[interests], dim=1
        )
        return InterestMembers(modalities, item_ids, interests, distances)

    def _tokens(self, item_tokens: Tensor) -> Tensor:
        """(T, D) the tokens that exist, as they are clustered."""
        tokens = item_tokens[self._present]
        return F.normalize(tokens, dim=-1) if self._normalize_tokens else tokens

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """As many prototypes as were found, also among other items."""
        found = state_dict.get(f"{prefix}prototypes")
        if isinstance(found, Tensor) and found.shape[1:] == self.prototypes.shape[1:]:
            self.prototypes.resize_(found.shape)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def forward(self, item_ids: Tensor) -> InterestTokens:
        """The distinct interests of the tokens of each sequence.

        Args:
            item_ids: (B, L) int64; padding has no interest.
        """
        interests = self.interest_of_item[:, item_ids]  # (M, B, L)
        interests = interests.transpose(0, 1).flatten(1).sort(dim=1, descending=True).values
        previous = F.pad(interests, (1, 0), value=NO_INTEREST)[:, :-1]
        distinct = interests.masked_fill(interests == previous, NO_INTEREST)
        distinct = distinct.sort(dim=1, descending=True).values
        if not torch.compiler.is_exporting():  # the width would depend on values; masks do as well
            num_distinct = (distinct != NO_INTEREST).sum(dim=1).max()
            if self.training:  # as wide as in the whole batch: the released code sums over padding
                num_distinct = batch_largest(num_distinct)
            distinct = distinct[:, : max(1, int(num_distinct))]  # (B, K)
        distinct = F.pad(distinct, (0, self._padding_slots), value=NO_INTEREST)
        valid_mask = distinct != NO_INTEREST
        embeddings = self.prototypes[distinct.clamp_min(0)] * valid_mask[..., None]
        return InterestTokens(embeddings, valid_mask)
