"""Batch and output tuples, Protocols and the dimension legend that every layer shares.

Dimensions, the same everywhere:
    B batch, L sequence length, N items of the catalogue, C candidates, K interest tokens of one
    sequence, M modalities, U unique items, D model width, F raw feature width, H heads, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from missrec.features.table import FeatureTable

PAD_ID = 0
"""Item id of padding; the items of a catalogue are 1..N."""


class SequenceBatch(NamedTuple):
    """Histories and the item that came next; ids only, features are looked up by the model.

    Attributes:
        user_ids: (B,) int64, unique over all domains of the run.
        item_ids: (B, L) int64, oldest first, right-padded with `PAD_ID`; L is the longest of the
            batch, never more than the model's `max_seq_len`.
        target_ids: (B,) int64 in 1..N, the item after the history. In training with
            `samples=prefixes_together` (B, L): the item after each that is to be predicted there,
            and `PAD_ID` where none is.
    """

    user_ids: Tensor
    item_ids: Tensor
    target_ids: Tensor

    @property
    def valid_mask(self) -> Tensor:
        """(B, L) bool, True = real item."""
        return self.item_ids != PAD_ID

    @property
    def next_ids(self) -> Tensor:
        """(B, L) int64, the item that came after each; after the last one the target."""
        following = torch.cat([self.item_ids[:, 1:], torch.zeros_like(self.item_ids[:, :1])], dim=1)
        last = self.valid_mask.sum(dim=1, keepdim=True) - 1
        return following.scatter(1, last.clamp_min(0), self.target_ids[:, None])

    def followed_by(self, ids: Tensor, *, longest: int) -> Tensor:
        """(B, L + 1) int64 histories, each with one more id behind its last item.

        Args:
            ids: (B,), such as the targets.
            longest: of a sequence; longer ones keep their most recent items.
        """
        lengths = self.valid_mask.sum(dim=1, keepdim=True)
        item_ids = functional.pad(self.item_ids, (0, 1)).scatter(1, lengths, ids[:, None])
        width = torch.sym_min(item_ids.shape[1], longest)  # a number, or of any length in a graph
        too_many = (lengths + 1 - width).clamp_min(0)
        return item_ids.gather(1, torch.arange(width, device=lengths.device) + too_many)

    @property
    def asked_ids(self) -> Tensor:
        """(P,) the items to be predicted, row by row."""
        if self.target_ids.ndim == 1:
            return self.target_ids
        return self.target_ids[self.target_ids != PAD_ID]


class DomainSpan(NamedTuple):
    """The item ids first_item..last_item (both included) that one domain has in the catalogue."""

    name: str
    first_item: int
    last_item: int


class TrainSequences(NamedTuple):
    """What training may see, as views of the flat interactions.

    Attributes:
        items: (number of interactions,) int32 item ids, user after user, oldest first; also those
            held out.
        starts: (U,) int64, where in `items` the sequence of each user starts.
        ends: (U,) int64, where the part of training ends, exclusive.
    """

    items: Tensor
    starts: Tensor
    ends: Tensor

    def pairs(self, distance: int) -> tuple[Tensor, Tensor]:
        """(T,) and (T,) int64: every two items that stand so far apart in one sequence.

        Args:
            distance: 1 for items that follow each other.
        """
        position = torch.arange(max(0, len(self.items) - distance))
        user = torch.searchsorted(self.starts, position, right=True) - 1
        first = position[position + distance < self.ends[user]]
        return self.items[first].long(), self.items[first + distance].long()


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What any model may know of the items before training.

    Attributes:
        num_items: N; over all domains of the run.
        train_counts: (N + 1,) int64, how often each item occurs in the training sequences;
            entry 0 is padding.
        train_sequences: the training sequences themselves.
        features: raw features of the modalities in use.
        second_views: raw features of other encodings of them, by the names of the modalities;
            None where there are none.
    """

    num_items: int
    train_counts: Tensor
    train_sequences: TrainSequences
    features: FeatureTable
    second_views: FeatureTable | None = None


class TrainingLoss(NamedTuple):
    """The scalar to minimise, and its named parts for the log.

    Of several processes, each has its part of them, see `missrec.distributed.batch_mean`.
    """

    total: Tensor
    terms: dict[str, Tensor]


class InputsError(ValueError):
    """The inputs of a run are none that a part of its model reads."""


class Recommender(Protocol):
    """What training and evaluation ask of a model; every model of the project is one.

    A model is an `nn.Module` whose constructor takes `catalogue` and its own settings. One that
    says as `loss_terms` which terms its training loss has is watched for none but these.
    """

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """Loss of one batch in training mode."""

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, ...) what the model knows of each history."""

    def candidates(self, item_ids: Tensor) -> Any:
        """What `score` needs of the items (C,); computed once per evaluation, not per batch."""

    def score(self, encoded: Tensor, candidates: Any) -> Tensor:
        """(B, C) scores; larger is better.

        The score of an item does not depend on which candidates stand beside it, nor on their
        order.
        """


@runtime_checkable
class LearnsItems(Protocol):
    """An objective that has to know the items of a run before the first batch."""

    def learn_items(self, catalogue: Catalogue) -> None:
        """Takes what it needs of them."""


@runtime_checkable
class SaysWhichPrefixes(Protocol):
    """A model that says whether one pass over a sequence serves all of its prefixes.

    Attributes:
        each_prefix_alone: why every prefix needs a pass of its own; None where one serves all: what
            the model says at an item depends on that one and the earlier ones alone, and it learns
            from targets (B, L), see `SequenceBatch`.
    """

    @property
    def each_prefix_alone(self) -> str | None:
        """Completes "a prefix cannot be read with the others: "."""


class ItemVectors(NamedTuple):
    """Items as the vectors that all their scores follow from; C of them.

    The score of item k for a user u is

        modality_weight * sum_m softmax_m(alpha_k s_m) s_m + <u, ids_k> + bias_k,

    with s_m = <u, tokens_mk> over the modalities that k has; without any, the sum is 0. Whatever
    alpha is, the sum is a mean of the s_m with weights that add up to 1, so the score is at most
    the largest of <u, modality_weight * tokens_mk + ids_k> + bias_k.

    Attributes:
        modalities: name of each, such as `text`; a model of ids alone has none, M = 0.
        tokens: (M, C, D) float32; zeros where an item lacks the modality.
        present: (M, C) bool, True where the item has the modality.
        alpha: () or (C,) float32, the concentration of the fusion (MISSRec Eq. 2); 0 takes the
            mean of the s_m, infinity the largest.
        modality_weight: of the fused score.
        ids: (C, D) float32, what an item's id adds, weighed; None without ids.
        bias: (C,) float32; None without one.
    """

    modalities: tuple[str, ...]
    tokens: Tensor
    present: Tensor
    alpha: Tensor
    modality_weight: float
    ids: Tensor | None
    bias: Tensor | None

    def divided_by(self, lengths: Tensor) -> ItemVectors:
        """The vectors with those of each item divided by one of the lengths (C,), not the bias."""
        by = lengths[:, None].clamp_min(SMALLEST_LENGTH)
        ids = None if self.ids is None else self.ids / by
        return self._replace(tokens=self.tokens / by, ids=ids)


SMALLEST_LENGTH = 1e-12
"""Of what `torch.nn.functional.normalize` divides by."""


@runtime_checkable
class HasItemVectors(Protocol):
    """A model whose scores follow from vectors; `encode` gives the (B, D) users.

    Models that have none are scored item by item, in blocks of the catalogue.
    """

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """The vectors of items (C,), equal in their scores to `score` of `candidates`."""


def has_item_vectors(model: object) -> TypeGuard[HasItemVectors]:
    """Whether a model is a `HasItemVectors`; one whose method is None has no vectors as it is."""
    return isinstance(model, HasItemVectors) and model.item_vectors is not None


@runtime_checkable
class FreezesItems(Protocol):
    """A model, or a part of one, that embeds items anew in each call, unless they are frozen."""

    def freeze_items(self) -> None:
        """Embeds all items of the catalogue once; from then on they are looked up.

        For a model that no longer trains. The state of the model stays as it is.
        """


class InterestReport(NamedTuple):
    """What one refresh of the interests found.

    Attributes:
        num_live: prototypes that at least one token belongs to.
        drift: mean over the tokens of 1 - cosine(prototype before, prototype now); 0 on the first
            refresh, when there is no "before".
    """

    num_live: int
    drift: float


@runtime_checkable
class DiscoversInterests(Protocol):
    """A model whose interests are computed from the current item tokens, outside the gradient."""

    def refresh_interests(self) -> InterestReport:
        """Clusters the item tokens again and replaces prototypes and assignment in place."""


@runtime_checkable
class Transferable(Protocol):
    """A model whose weights serve in another domain (MISSRec 3.6).

    Attributes:
        domain_bound: names of the state that belongs to the items of one domain.
        feature_bound: names of the modules whose shape follows the raw features.
    """

    domain_bound: Sequence[str]
    feature_bound: Sequence[str]


class ItemRows(NamedTuple):
    """State with an entry for each item of the catalogue, padding included.

    Attributes:
        name: of the parameter or buffer, in the module that declares it.
        dim: in which it has N + 1 entries.
        is_id: it is the learned vector of an item's id, which an item without training has not.
        holds_ids: its entries are item ids themselves, `PAD_ID` for none.
        is_counted: it is counted in the training sequences, anew where others are trained on.
    """

    name: str
    dim: int
    is_id: bool
    holds_ids: bool = False
    is_counted: bool = False


@runtime_checkable
class HasItemRows(Protocol):
    """A module with state of its own for each item; a model may have several.

    Attributes:
        item_rows: that state.
    """

    item_rows: Sequence[ItemRows]


@runtime_checkable
class ScoresById(Protocol):
    """A model that may know a candidate by the learned vector of its id alone.

    Attributes:
        scores_by_id: whether it does: then an item that no training saw has no score.
    """

    scores_by_id: bool


@runtime_checkable
class PlacesItems(Protocol):
    """A model that gives an item more than learned vectors, made of its features after training."""

    def place_items(self, item_ids: Tensor, features: FeatureTable) -> None:
        """Does so for items (U,) that came after training, in place; others stay as they are.

        Args:
            item_ids: (U,).
            features: of all items, in the inputs of the model.

        Raises:
            ValueError: the model lacks what it takes.
        """


@runtime_checkable
class Staged(Protocol):
    """A model that learns the same items in stages, each by losses of its own.

    Attributes:
        stage_bound: names of the modules that serve one stage alone.
    """

    stage_bound: Sequence[str]
