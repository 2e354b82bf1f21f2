"""S³-Rec: four self-supervised tasks before the next item (Zhou et al., CIKM 2020)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from missrec.nn.item_embeddings import FeatureEmbedding, IdEmbedding
from missrec.nn.pooling import last_valid
from missrec.nn.precision import inner_products
from missrec.nn.sequence_encoder import SequenceEncoder, before_targets
from missrec.nn.transformer import initialize_linear
from missrec.objectives.mutual_information import mutual_information_loss
from missrec.objectives.ranking import RankingObjective, next_item_loss
from missrec.objectives.segments import draw_replacements, draw_segments
from missrec.types import PAD_ID, Catalogue, ItemVectors, SequenceBatch, TrainingLoss


class TaskWeights(NamedTuple):
    """Of the loss of each task.

    Attributes:
        aap: associated attribute prediction, item and text.
        mip: masked item prediction, sequence and item.
        map: masked attribute prediction, sequence and text.
        sp: segment prediction, sequence and segment.
    """

    aap: float
    mip: float
    map: float
    sp: float


class SelfSupervision(nn.Module):
    """The losses of pre-training, and all that serves it alone: maps, mask, text adapter.

    **Source**: sections 3.2 and 4.2. As UniSRec's authors run it, the attribute of an item is its
    adapted text, the bilinear maps have a bias, and a segment is read in its place, between masks.
    **Differs** from the paper: the sum over all negatives has one, drawn anew each time: any other
    item, its text, or as many neighbouring items of the batch as the segment has. A loss is summed
    over the places of a sequence. From UniSRec's authors: they tell a text from those of all items
    by binary cross-entropies; they match it with what the encoder says at an item that is not
    hidden, the paper and this with the item's embedding; they leave out the target, which nothing
    predicts here. An item that lacks a text, or whose negative does, takes no part in the tasks of
    texts.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        texts: Callable[..., FeatureEmbedding],
        mask_prob: float,
        weights: TaskWeights,
        init_std: float,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run, with features.
            embed_dim: D.
            texts: embeds items by feature, without catalogue and width.
            mask_prob: of each item of a sequence to be hidden, in [0, 1].
            weights: of the four losses.
            init_std: of the mask's embedding and the linear maps.

        Raises:
            ValueError: mask_prob is outside [0, 1], or no item has another as its negative.
        """
        super().__init__()
        if not 0 <= mask_prob <= 1:
            raise ValueError(f"mask_prob ({mask_prob}) must be in [0, 1]")
        if catalogue.num_items < 2:
            raise ValueError(f"num_items ({catalogue.num_items}) must be at least 2")
        self._num_items = catalogue.num_items
        self._mask_prob = mask_prob
        self._weights = weights
        self.texts = texts(catalogue=catalogue, embed_dim=embed_dim)
        self.mask = nn.Parameter(torch.empty(embed_dim))
        self.maps = nn.ModuleDict(
            {task: nn.Linear(embed_dim, embed_dim) for task in weights._fields}
        )
        nn.init.normal_(self.mask, std=init_std)
        initialize_linear(self, std=init_std)

    def forward(
        self, item_ids: Tensor, *, items: nn.Module, encoder: SequenceEncoder
    ) -> TrainingLoss:
        """The weighted sum of the four losses.

        Args:
            item_ids: (B, L) sequences, right-padded.
            items: item embeddings.
            encoder: the sequence encoder, which reads in both directions here.
        """
        valid_mask = item_ids != PAD_ID
        hidden = self._draw_hidden(valid_mask)
        segments = draw_segments(valid_mask)
        other_ids = self._draw_others(item_ids)
        embeddings, other_embeddings = items(item_ids), items(other_ids)  # (B, L, D)
        texts, other_texts = self.texts(item_ids), self.texts(other_ids)
        have_texts = self.texts.exist(item_ids) & self.texts.exist(other_ids)
        replacements = items(draw_replacements(item_ids, segments))
        readings = (
            (embeddings, hidden),
            (embeddings, segments),
            (embeddings, ~segments),
            (replacements, ~segments),
        )
        encoded = encoder(
            torch.cat([torch.where(masked[..., None], self.mask, of) for of, masked in readings]),
            valid_mask=valid_mask.repeat(len(readings), 1),
            causal=False,
        )
        context, *sequences = encoded.chunk(len(readings))  # (B, L, D) each
        around, segment, replacement = (last_valid(each, valid_mask) for each in sequences)
        losses = {
            "aap": self._loss("aap", embeddings, texts, other_texts, have_texts),
            "mip": self._loss("mip", context, embeddings, other_embeddings, hidden),
            "map": self._loss("map", context, texts, other_texts, have_texts & hidden),
            "sp": self._loss("sp", around, segment, replacement, segments.any(dim=1)),
        }
        total = sum(weight * losses[task] for task, weight in self._weights._asdict().items())
        return TrainingLoss(total, {task: loss.detach() for task, loss in losses.items()})

    def _loss(self, task: str, anchors: Tensor, *parts: Tensor) -> Tensor:
        return mutual_information_loss(self.maps[task](anchors), *parts)

    def _draw_hidden(self, valid_mask: Tensor) -> Tensor:
        """(B, L) bool, True = item to be hidden."""
        draws = torch.rand(valid_mask.shape, device=valid_mask.device)
        return valid_mask & (draws < self._mask_prob)

    def _draw_others(self, item_ids: Tensor) -> Tensor:
        """The shape of item_ids: of each item another one, uniform."""
        drawn = torch.randint(1, self._num_items, item_ids.shape, device=item_ids.device)
        return drawn + (drawn >= item_ids).long()


class S3Rec(nn.Module):
    """SASRec by ids that starts from what self-supervision has taught it.

    **Source**: sections 4.1 and 4.3, in the form of UniSRec's authors, whose attribute of an item
    is its text; first the model is trained with `self_supervised`, then without.
    **Differs**: the loss of fine-tuning is the objective's, by default a softmax over all items
    rather than a pairwise one with a negative; blocks as in `SequenceEncoder`; see
    `SelfSupervision` for the first stage.
    """

    stage_bound = ("tasks",)

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        items: Callable[..., IdEmbedding],
        encoder: Callable[..., SequenceEncoder],
        objective: RankingObjective,
        tasks: Callable[..., SelfSupervision],
        self_supervised: bool,
    ) -> None:
        """Builds the parts that depend on the catalogue.

        Args:
            catalogue: the items of the run.
            embed_dim: D.
            items: embeds items by id, `IdEmbedding` without catalogue and width.
            encoder: the sequence encoder without its width.
            objective: the loss of fine-tuning.
            tasks: the losses of pre-training without catalogue and width.
            self_supervised: learn from the tasks, with features; else from the next item, without
                features.
        """
        super().__init__()
        self._num_items = catalogue.num_items
        self.items = items(catalogue=catalogue, embed_dim=embed_dim)
        self.encoder = encoder(embed_dim=embed_dim)
        self.objective = objective
        self.tasks = tasks(catalogue=catalogue, embed_dim=embed_dim) if self_supervised else None

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of what `training_loss` says of its parts."""
        return TaskWeights._fields if self.tasks is not None else ("ranking",)

    @property
    def each_prefix_alone(self) -> str | None:
        """The tasks of the first stage hide and cut parts of one prefix; the second needs none."""
        return None if self.tasks is None else "self-supervised tasks read each in both directions"

    @property
    def scores_by_id(self) -> bool:
        """Whether candidates are id vectors alone."""
        return isinstance(self.items, IdEmbedding)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        """The losses of the tasks over whole prefixes, or the objective's of the next item."""
        if self.tasks is not None:
            item_ids = batch.followed_by(batch.target_ids, longest=self.encoder.max_seq_len)
            return self.tasks(item_ids, items=self.items, encoder=self.encoder)  # type: ignore[no-any-return]
        users = before_targets(self.encoder, self.items(batch.item_ids), batch)
        loss = next_item_loss(
            self.objective, self, users, batch.asked_ids, num_items=self._num_items
        )
        return TrainingLoss(loss, {"ranking": loss.detach()})

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, D) what the encoder says at the last item, reading from left to right."""
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
