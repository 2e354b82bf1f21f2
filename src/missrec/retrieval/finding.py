"""The best and the most similar items by number, with what makes their scores, as frames."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import cast

import numpy as np
import polars as pl
import torch
from torch import Tensor

from missrec.retrieval.catalogue import CatalogueItems
from missrec.retrieval.encoding import HistoryEncoder
from missrec.retrieval.exact import ExactSearch
from missrec.retrieval.explanations import explained, explained_by_interests
from missrec.retrieval.frames import (
    HISTORY,
    ITEM,
    SIMILAR,
    found_frame,
    no_rows,
    vector_column,
)
from missrec.retrieval.histories import Histories
from missrec.retrieval.indexes import Index
from missrec.retrieval.interests import HasInterests, interest_map, interest_members
from missrec.retrieval.mapped import mapped_table
from missrec.retrieval.requests import KnownHistories, Selection
from missrec.retrieval.scored import ScoredSearch
from missrec.retrieval.search import Search, Wanted
from missrec.retrieval.similar import similarity_table
from missrec.retrieval.table import ItemTable
from missrec.types import Recommender, has_item_vectors


class ItemFinder:
    """Searches the items of one catalogue for what a model says of histories.

    Attributes:
        encoder: of histories.
        table: of the items' vectors; None for a model whose scores follow from none.
    """

    def __init__(
        self,
        encoder: HistoryEncoder,
        items: CatalogueItems,
        *,
        index: Index,
        shared: Path | None = None,
    ) -> None:
        """Computes the vectors of the items and makes the index.

        Raises:
            ValueError: there are no items, or the index cannot be made.
        """
        self.encoder = encoder
        self._items = items
        self._index = index
        self._shared = shared
        device = encoder.device
        item_ids = torch.from_numpy(items.item_ids).to(device)
        key_ranks = items.key_ranks.to(device)
        self.table: ItemTable | None = None
        if has_item_vectors(encoder.model):
            make = partial(ItemTable.of, encoder.model, item_ids, key_ranks=key_ranks)
            self.table = mapped_table(shared, "items", make)
            self._search = index(self.table)
        else:
            model = cast("Recommender", encoder.model)
            self._search = ScoredSearch(model, item_ids, key_ranks=key_ranks)
        self._alike: tuple[Search, Tensor] | None = None
        self._making = Lock()

    def without(self, parts: Collection[str]) -> ItemFinder:
        """The same for scores that lack some parts, see `ItemTable.without`.

        It is searched as it is: no further index is made.
        """
        if self.table is None:
            raise ValueError(f"the scores of {self._name} have no parts that can be left out")
        other = copy(self)
        other.table = self.table.without(parts)
        other._search, other._index = ExactSearch(other.table), ExactSearch
        other._alike, other._making = None, Lock()
        other._shared = None  # what processes share is of whole scores
        return other

    @property
    def vectors(self) -> ItemTable:
        """The table of a model whose scores follow from vectors of users and items.

        Raises:
            ValueError: they do not.
        """
        if self.table is None or not self.table.width:
            raise ValueError(f"the scores of {self._name} follow from no vectors")
        return self.table

    @cached_property
    def interests(self) -> pl.DataFrame:
        """See `CatalogueRecommender.interests`.

        Raises:
            ValueError: the model finds none.
        """
        if not isinstance(self.encoder.model, HasInterests):
            raise ValueError(f"{self._name} finds no interests")
        return interest_members(self.encoder.model, self._items)

    def interest_map(self) -> pl.DataFrame:
        """See `CatalogueRecommender.interest_map`; raises as `interests` does."""
        return interest_map(self.interests, cast("HasInterests", self.encoder.model))

    def encoded(self, known: KnownHistories) -> pl.DataFrame:
        """`history` and `vector` of histories, see `CatalogueRecommender.encode`."""
        places = pl.Series(HISTORY, known.places, dtype=pl.Int64)
        vectors = torch.empty(0, self.vectors.width)
        if len(known.histories):
            vectors = self.encoder.encode(known.histories)
        return pl.DataFrame([places, vector_column("vector", vectors)])

    def best(self, histories: Histories, asked: pl.Series, selection: Selection) -> pl.DataFrame:
        """The best items of histories, see `found_frame`.

        Args:
            histories: none is empty.
            asked: what each is known by.
            selection: what they get.
        """
        if not len(histories):
            return self.nothing(asked, has_lists=None not in selection.lists)
        encoded = self.encoder.encode(histories)
        excluded = histories if selection.exclude_seen else None
        k = min(selection.k, len(self._items))  # what is found has as many columns
        found = {
            name: self._search.top_k(encoded, k=k, wanted=self._wanted(allowed, excluded))
            for name, allowed in selection.lists.items()
        }
        return found_frame(found, asked=asked, items=self._items, encoded=encoded, table=self.table)

    def nothing(self, asked: pl.Series, *, has_lists: bool) -> pl.DataFrame:
        """What `best` returns for no history."""
        return no_rows(asked, has_lists=has_lists, table=self.table)

    def similar(self, numbers: np.ndarray, *, k: int) -> pl.DataFrame:
        """The most similar items of items, see `CatalogueRecommender.similar`."""
        asked = self._items.index.keys.gather(numbers).alias(ITEM)
        if not len(numbers):
            return no_rows(asked, item=SIMILAR)
        alone = Histories(numbers, np.arange(len(numbers) + 1))
        if self.table is not None and self.table.width:
            search, embeddings = self._similarity(self.table)
            encoded = embeddings[self.table.places[torch.from_numpy(numbers).to(self._device)]]
        else:
            search, encoded = self._search, self.encoder.encode(alone)
        k = min(k, len(self._items))
        found = search.top_k(encoded, k=k, wanted=self._wanted(None, alone))
        return found_frame({None: found}, asked=asked, items=self._items, item=SIMILAR)

    def explained(self, history: np.ndarray, item: int) -> pl.DataFrame:
        """Why an item has its score, see `CatalogueRecommender.explain`.

        Args:
            history: (L,) numbers of items, at least one.
            item: its number.
        """
        model, read = self.encoder.model, history[-self.encoder.max_seq_len :]
        rows = explained(read, item, encoder=self.encoder, items=self._items, table=self.table)
        if self.table is None or not isinstance(model, HasInterests):
            return rows
        near = explained_by_interests(
            read,
            item,
            model=model,
            items=self._items,
            table=self.table,
            members=self.interests,
        )
        return pl.concat([rows, near])

    @property
    def _name(self) -> str:
        return type(self.encoder.model).__name__

    @property
    def _device(self) -> torch.device:
        return self.encoder.device

    def _similarity(self, table: ItemTable) -> tuple[Search, Tensor]:
        """The search among the embeddings of the items, and these by place; made on first use."""
        with self._making:
            if self._alike is None:
                make = partial(similarity_table, table)
                alike = mapped_table(self._shared, "alike", make)
                self._alike = self._index(alike), alike.vectors.tokens[0]
            return self._alike

    def _wanted(self, allowed: Tensor | None, excluded: Histories | None) -> Wanted:
        """On the device."""
        allowed = None if allowed is None else allowed.to(self._device)
        if excluded is None:
            return Wanted(allowed=allowed)
        rows, items = (
            torch.from_numpy(part).to(self._device).long()
            for part in (excluded.rows, excluded.items)
        )
        return Wanted(allowed=allowed, excluded_users=rows, excluded_items=items)
