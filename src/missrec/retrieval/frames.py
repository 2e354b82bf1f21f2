"""What a search found, and vectors, as Polars frames with external keys."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import torch
from torch import Tensor

from missrec.retrieval.catalogue import CatalogueItems
from missrec.retrieval.search import NO_ITEM, TopK
from missrec.retrieval.table import ItemTable

HISTORY, ITEM, LIST = "history", "item", "list"
RANK, SCORE, SIMILAR = "rank", "score", "similar"
_SHARE, _VECTOR = "share_", "vector_"


def shares(parts: Tensor) -> Tensor:
    """(Q, P) float64 in [0, 1]: the size of each part among the sizes of all parts of its score.

    They add up to 1 for each pair, whatever the signs of the parts; zeros where all parts are 0.

    Args:
        parts: (Q, P), which add up to the scores.
    """
    sizes = parts.abs()
    total = sizes.sum(dim=0)
    return torch.where(total > 0, sizes / total, 0.0)


def found_frame(
    found: Mapping[str | None, TopK],
    *,
    asked: pl.Series,
    items: CatalogueItems,
    item: str = ITEM,
    encoded: Tensor | None = None,
    table: ItemTable | None = None,
) -> pl.DataFrame:
    """A row for each item that was found, the best first; request after request, list after list.

    Args:
        found: name of a list -> what of it was found for B requests, K items each; without lists
            one without a name.
        asked: (B,) what each request is known by, under the name of its column.
        items: of the catalogue.
        item: name of the column of what was found.
        encoded: (B, D) users that were searched for, to tell the shares of their scores.
        table: of the vectors that these follow from.

    Returns:
        The column `asked`, `list` where there are lists, `rank` from 1, the item, `score`, and
        `share_<part>` for each part of the table.
    """
    numbers = torch.stack([one.items for one in found.values()], dim=1)  # (B, lists, K)
    scores = torch.stack([one.scores for one in found.values()], dim=1)
    users, lists, ranks = places = (numbers != NO_ITEM).nonzero(as_tuple=True)
    named = pl.Series(LIST, list(found), dtype=pl.String)
    columns = [
        asked.gather(users.cpu().numpy()),
        *([] if None in found else [named.gather(lists.cpu().numpy())]),
        pl.Series(RANK, ranks.cpu().numpy() + 1, dtype=pl.Int32),
        items.index.keys.gather(numbers[places].cpu().numpy()).alias(item),
        pl.Series(SCORE, scores[places].cpu().numpy()),
    ]
    if table is not None and encoded is not None:
        parts = shares(table.pair_scores(encoded, users, numbers[places]).parts).cpu().numpy()
        columns += [
            pl.Series(_SHARE + name, part) for name, part in zip(table.parts, parts, strict=True)
        ]
    return pl.DataFrame(columns)


def no_rows(
    asked: pl.Series, *, has_lists: bool = False, item: str = ITEM, table: ItemTable | None = None
) -> pl.DataFrame:
    """What `found_frame` returns where nothing is asked for."""
    schema = {
        asked.name: asked.dtype,
        **({LIST: pl.String()} if has_lists else {}),
        RANK: pl.Int32(),
        item: pl.String(),
        SCORE: pl.Float64(),
        **{_SHARE + name: pl.Float64() for name in (() if table is None else table.parts)},
    }
    return pl.DataFrame(schema=schema)


def vectors_frame(table: ItemTable, numbers: np.ndarray, *, items: CatalogueItems) -> pl.DataFrame:
    """A row for each of these items, see `CatalogueRecommender.item_vectors`."""
    vectors = table.at(table.places[torch.from_numpy(numbers).to(table.places.device)])
    columns = [items.index.keys.gather(numbers).alias(ITEM)]
    of_modalities = zip(vectors.modalities, vectors.tokens, vectors.present, strict=True)
    for name, tokens, present in of_modalities:
        column = vector_column(_VECTOR + name, tokens)
        has = pl.Series(present.cpu().numpy())
        columns.append(pl.select(pl.when(has).then(column)).to_series().alias(column.name))
    if vectors.ids is not None:
        columns.append(vector_column(f"{_VECTOR}id", vectors.ids))
    if vectors.bias is not None:
        columns.append(pl.Series("bias", vectors.bias.cpu().numpy()))
    return pl.DataFrame(columns)


def vector_column(name: str, vectors: Tensor) -> pl.Series:
    """(B, D) vectors as a column of arrays of 32 bits."""
    values = np.ascontiguousarray(vectors.float().cpu().numpy())
    return pl.Series(name, values, dtype=pl.Array(pl.Float32, values.shape[1]))
