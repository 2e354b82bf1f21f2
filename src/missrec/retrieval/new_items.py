"""A trained model on another catalogue: items are known again by their keys.

N items of today's catalogue, padding beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor, nn

from missrec.features.table import FeatureTable
from missrec.retrieval.predicted_ids import predicted_ids
from missrec.types import PAD_ID, HasItemRows, ItemRows, PlacesItems, ScoresById

_PLACED_AT_ONCE = 16_384

ItemKeys = Mapping[str, pl.Series]
"""Name of each domain, in the order of their item ids -> the keys of its items, in order."""


class ItemMap(NamedTuple):
    """Where the items of a catalogue were in an earlier one.

    Attributes:
        before: (N + 1,) int64, the id that each item had; `PAD_ID` for new items and for padding.
        num_before: items of the earlier catalogue.
    """

    before: Tensor
    num_before: int

    @property
    def known(self) -> Tensor:
        """(P,) int64 ids, ascending, of the items that the earlier catalogue had."""
        return (self.before != PAD_ID).nonzero().squeeze(1)

    @property
    def new(self) -> Tensor:
        """(Q,) int64 ids, ascending, of those it had not."""
        return (self.before[1:] == PAD_ID).nonzero().squeeze(1) + 1

    @property
    def today(self) -> Tensor:
        """(num_before + 1,) int64, the id of each earlier item today; `PAD_ID` of removed ones."""
        ids = torch.zeros(self.num_before + 1, dtype=torch.int64)
        return ids.index_copy_(0, self.before[self.known], self.known)

    @property
    def num_removed(self) -> int:
        """Items that it alone had."""
        return self.num_before - len(self.known)

    @property
    def is_same(self) -> bool:
        """Whether both have the same items under the same numbers."""
        same = torch.arange(self.num_before + 1)
        return torch.equal(self.before, same)

    def moved(self, rows: Tensor, *, dim: int, start: Tensor) -> Tensor:
        """State with an entry for each item, of the earlier catalogue's, for this one.

        Args:
            rows: with num_before + 1 entries in `dim`.
            dim: of the items.
            start: the result for items that are new, with N + 1 entries in `dim`.

        Raises:
            ValueError: the entries are not those of the earlier catalogue.
        """
        if rows.shape[dim] != self.num_before + 1:
            raise ValueError(
                f"the state has entries for {rows.shape[dim] - 1} items, and {self.num_before} are "
                "recorded; it is of another run, or damaged"
            )
        here = torch.cat([torch.zeros(1, dtype=torch.int64), self.known])  # padding too
        return start.clone().index_copy_(dim, here, rows.index_select(dim, self.before[here]))


def map_items(before: ItemKeys, today: ItemKeys) -> ItemMap:
    """Where today's items were.

    An item is known by its domain and its key; where both catalogues have one domain, by its key.
    """
    if len(before) == len(today) == 1:
        before = dict(zip(today, before.values(), strict=True))
    columns = ["domain", "key"]
    found = _table(today, "here").join(_table(before, "before"), on=columns, how="left")
    ids = found.sort("here")["before"].fill_null(PAD_ID).to_numpy()
    num_before = sum(map(len, before.values()))
    return ItemMap(torch.cat([torch.tensor([PAD_ID]), torch.from_numpy(ids.copy())]), num_before)


class OtherModelError(ValueError):
    """What a model has learnt does not fit the model that shall go on with it."""


class TakenOver(NamedTuple):
    """What a model that was moved to another catalogue can do there.

    Attributes:
        items: where its items were.
        recommendable: (N + 1,) bool, True where the model knows something of the item; the others,
            and padding, must not be recommended, and say nothing in a history.
    """

    items: ItemMap
    recommendable: Tensor

    @property
    def num_unknown(self) -> int:
        """New items of which the model knows nothing."""
        return len(self.recommendable) - 1 - int(self.recommendable.sum())


def take_over(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    items: ItemMap,
    features: FeatureTable,
    predict_ids: bool,
    trains: bool = False,
) -> TakenOver:
    """Fills a model of today's catalogue with what another one of the same kind has learnt.

    Known items keep all that is theirs: id vectors, alphas, interests, codes, counts. New ones have
    what the model starts with and what follows from their features; their id vector is zero, or
    predicted from the features. Removed ones are gone.

    Args:
        model: built on today's catalogue; changed in place.
        state: of the trained model.
        items: where today's items were among those that it was trained on.
        features: of today's items, from the encoder that the model was trained with.
        predict_ids: see `predicted_ids`; needs features.
        trains: see `moved_state`.

    Returns:
        What may be recommended.

    Raises:
        OtherModelError: the state does not fit the model.
        ValueError: see `moved_state`.
    """
    moved = moved_state(model, state, items, trains=trains)
    try:
        model.load_state_dict(moved)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise OtherModelError(
            f"the state does not fit the model of these settings: {reason}"
        ) from error
    device = next(iter(moved.values())).device if moved else torch.device("cpu")
    new = items.new.to(device)
    if isinstance(model, PlacesItems) and len(new):
        for some in torch.split(new, _PLACED_AT_ONCE):
            model.place_items(some, features)
    has_features = _have_features(features, items.new)
    is_predicted = predict_ids and bool(has_features.any()) and len(items.known) > 1
    if is_predicted:
        chosen = items.new[has_features]
        for name, rows in item_rows(model):
            if rows.is_id:
                vectors = model.get_parameter(name)
                found = predicted_ids(features, vectors.detach(), known=items.known, new=chosen)
                vectors.data[chosen] = found.to(vectors)
    by_id = isinstance(model, ScoresById) and model.scores_by_id
    recommendable = torch.ones(len(items.before), dtype=torch.bool)
    recommendable[PAD_ID] = False
    if by_id or features.modalities:
        recommendable[items.new] = has_features & torch.tensor(is_predicted or not by_id)
    return TakenOver(items, recommendable)


def moved_state(
    model: nn.Module, state: Mapping[str, Tensor], items: ItemMap, *, trains: bool = False
) -> dict[str, Tensor]:
    """The state of a trained model for a catalogue that its items have moved to.

    Args:
        model: built on that catalogue; says what belongs to the items.
        state: of the trained model.
        items: where the items were.
        trains: the model goes on to train on today's sequences, so what is counted stays as it
            counted it there.

    Raises:
        ValueError: the state has entries for other items than are recorded.
    """
    start, moved = model.state_dict(), dict(state)
    for name, rows in item_rows(model):
        if name in state and name in start and rows.is_counted and trains:
            moved[name] = start[name]
        elif name in state and name in start:
            learnt = state[name]
            if rows.holds_ids:
                learnt = items.today.to(learnt)[learnt.long()]
            new = torch.zeros_like(start[name]) if rows.is_id else start[name]
            moved[name] = items.moved(learnt, dim=rows.dim, start=new)
    return moved


def item_rows(model: nn.Module) -> Iterator[tuple[str, ItemRows]]:
    """Full name -> each parameter or buffer of a model that has an entry for each item."""
    for place, module in model.named_modules():
        if isinstance(module, HasItemRows):
            for rows in module.item_rows:
                yield f"{place}.{rows.name}".lstrip("."), rows


def _have_features(features: FeatureTable, item_ids: Tensor) -> Tensor:
    """(Q,) bool, True where an item has a feature of any modality."""
    if not features.modalities:
        return torch.zeros(len(item_ids), dtype=torch.bool)
    return features.present(item_ids).any(dim=0).cpu()


def _table(keys: ItemKeys, name: str) -> pl.DataFrame:
    """`domain`, `key` and the item id, from 1, as column `name`."""
    parts = [
        pl.DataFrame({"key": own.cast(pl.String)}).select(pl.lit(domain).alias("domain"), "key")
        for domain, own in keys.items()
    ]
    empty = pl.DataFrame(schema={"domain": pl.String, "key": pl.String})
    return pl.concat([empty, *parts]).with_columns(pl.int_range(1, pl.len() + 1).alias(name))
