"""The ways to find the best items, by the words that choose one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias, cast

from torch import Tensor, nn

from missrec.retrieval.bounded import BoundedSearch
from missrec.retrieval.exact import ExactSearch
from missrec.retrieval.mapped import mapped_faiss
from missrec.retrieval.milvus import MilvusIndex
from missrec.retrieval.scored import ScoredSearch
from missrec.retrieval.search import Search
from missrec.retrieval.table import ItemTable
from missrec.types import Recommender, has_item_vectors

Index: TypeAlias = Callable[[ItemTable], Search]
"""Makes a search in a table of items."""

_MANY_ITEMS = 100_000
"""From so many on, `auto` takes FAISS."""

_FEW_ITEMS = 10_000
"""Of fewer, inverted lists miss most of the best, and looking through all of them takes no time."""


def named_index(words: str, *, shared: Path | None = None) -> Index:
    """What makes the search that is asked for.

    Args:
        words: `exact`; `faiss`, or `faiss:` and an index in FAISS's words such as
            `faiss:HNSW32,SQ8`; `milvus:` and a file that ends in `.db`, or the address of a
            server; or `auto`, which is `exact` or, of 100,000 items or more, `faiss`.
        shared: where several processes keep one index, see `retrieval.mapped`.

    Raises:
        ValueError: the words are none of these.
    """
    name, _, more = str(words).partition(":")
    match name, more:
        case "exact", "":
            return ExactSearch
        case "faiss", _:
            return partial(_faiss, shared=shared, description=more or None)
        case "milvus", _ if more:
            return partial(_milvus, uri=more)
        case "auto", "":
            return partial(_by_size, shared=shared)
    raise ValueError(
        f"index ({words}) must be exact, faiss, faiss:<an index in its words>, "
        "milvus:<a file.db or an address>, or auto"
    )


def exact_search(model: nn.Module, item_ids: Tensor, *, key_ranks: Tensor) -> Search:
    """Finds the best items by exact score, with any `Recommender`.

    Args:
        model: in evaluation mode.
        item_ids: (N,) as the model knows the items.
        key_ranks: (N,) int64, place of each item among the sorted keys.

    Raises:
        ValueError: the catalogue is empty, or a vector is not finite.
    """
    if has_item_vectors(model):
        return ExactSearch(ItemTable.of(model, item_ids, key_ranks=key_ranks))
    return ScoredSearch(cast("Recommender", model), item_ids, key_ranks=key_ranks)


def _faiss(table: ItemTable, *, shared: Path | None, description: str | None = None) -> Search:
    if description is None and len(table) < _FEW_ITEMS:
        description = "Flat"
    try:
        index = mapped_faiss(table, shared=shared, description=description)
    except RuntimeError as error:  # of FAISS, such as of more lists than rows
        reason = " ".join(str(error).split()).rpartition("Error: ")[2]
        raise ValueError(
            f"index (faiss:{description}) cannot be made of {len(table):,} items: {reason}"
        ) from error
    return BoundedSearch(table, index, exact=ExactSearch(table))


def _milvus(table: ItemTable, *, uri: str) -> Search:
    return BoundedSearch(table, MilvusIndex.open(table, uri=uri), exact=ExactSearch(table))


def _by_size(table: ItemTable, *, shared: Path | None) -> Search:
    return ExactSearch(table) if len(table) < _MANY_ITEMS else _faiss(table, shared=shared)
