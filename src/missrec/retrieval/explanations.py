"""Why an item has its score for a history."""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl
import torch

from missrec.retrieval.catalogue import CatalogueItems
from missrec.retrieval.encoding import HistoryEncoder
from missrec.retrieval.frames import shares
from missrec.retrieval.histories import Histories
from missrec.retrieval.interests import HasInterests, interests_near
from missrec.retrieval.table import ItemTable, PairScores
from missrec.types import Recommender

_SCHEMA = {
    "kind": pl.String,
    "name": pl.String,
    "title": pl.String,
    "value": pl.Float64,
    "share": pl.Float64,
}


def explained(
    history: np.ndarray,
    item: int,
    *,
    encoder: HistoryEncoder,
    items: CatalogueItems,
    table: ItemTable | None,
) -> pl.DataFrame:
    """The score of an item, its parts, and what each item of the history adds to it.

    Args:
        history: (L,) numbers of the items that the model reads, at least one.
        item: its number.
        encoder: of histories.
        items: of the catalogue.
        table: of their vectors; None for a model that has none.

    Returns:
        `kind`, `name`, `title`, `value` and `share`, see `CatalogueRecommender.explain`.
    """
    histories = _with_and_without(history)
    scores = _scores(histories, item, encoder=encoder, items=items, table=table)
    total = scores.total.tolist()
    keys, titles = items.index.keys, items.titles
    rows: list[tuple[object, ...]] = [("score", keys[item], titles[item], total[0], 1.0)]
    if table is not None:
        sizes = shares(scores.parts)[:, 0].tolist()
        values = scores.parts[:, 0].tolist()
        rows += [
            ("part", part, None, value, size)
            for part, value, size in zip(table.parts, values, sizes, strict=True)
        ]
    without = total[1:] if len(history) > 1 else [None]
    for number, rest in zip(history.tolist(), without, strict=True):
        added = None if rest is None else total[0] - rest
        rows.append(("history", keys[number], titles[number], added, None))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _with_and_without(read: np.ndarray) -> Histories:
    """A history, and if it has several items also all that one of them is taken out of."""
    length = len(read)
    if length == 1:
        return Histories(read, np.array([0, 1]))
    kept = np.concatenate([np.ones((1, length), dtype=bool), ~np.eye(length, dtype=bool)])
    everything = Histories(np.tile(read, length + 1), np.arange(length + 2) * length)
    return everything.only(kept.ravel())


@torch.no_grad()
def _scores(
    histories: Histories,
    item: int,
    *,
    encoder: HistoryEncoder,
    items: CatalogueItems,
    table: ItemTable | None,
) -> PairScores:
    """The scores of one item for histories."""
    encoded = encoder.encode(histories)
    users = torch.arange(len(histories), device=encoder.device)
    if table is not None:
        return table.pair_scores(encoded, users, torch.full_like(users, item))
    model = cast("Recommender", encoder.model)
    candidates = model.candidates(users.new_tensor([int(items.item_ids[item])]))
    total = model.score(encoded, candidates)[:, 0].double()
    return PairScores(total, total[None])


def explained_by_interests(
    history: np.ndarray,
    item: int,
    *,
    model: HasInterests,
    items: CatalogueItems,
    table: ItemTable,
    members: pl.DataFrame,
) -> pl.DataFrame:
    """The interests of a history, and how near an item is to each.

    Args:
        history: (L,) numbers of items.
        item: its number.
        model: with the interests.
        items: of the catalogue.
        table: of their vectors.
        members: of `interest_members`.

    Returns:
        The columns of `explained`.
    """
    place = int(table.places[item])
    vectors = table.at(slice(place, place + 1))
    tokens = vectors.tokens[vectors.present[:, 0], 0]
    near = interests_near(model, tokens, items.item_ids[history].tolist())
    central = members.unique("interest", keep="first", maintain_order=True)
    return near.join(central, on="interest", how="left", maintain_order="left").select(
        kind=pl.lit("interest"),
        name=pl.col("interest").cast(pl.String),
        title="title",
        value="cosine",
        share=pl.lit(None, dtype=pl.Float64),
    )
