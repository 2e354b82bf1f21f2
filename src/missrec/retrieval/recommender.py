"""A trained model on its catalogue: recommendations, similar items and reasons by external keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from copy import copy
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn

from missrec.features.table import FeatureTable
from missrec.retrieval.catalogue import CatalogueItems, CatalogueUsers
from missrec.retrieval.encoding import HistoryEncoder
from missrec.retrieval.finding import ItemFinder
from missrec.retrieval.frames import HISTORY, ITEM, vectors_frame
from missrec.retrieval.histories import KeyLists, Keys, flat_keys
from missrec.retrieval.indexes import Index
from missrec.retrieval.measured import ListMeasures
from missrec.retrieval.requests import (
    all_numbers,
    check_k,
    known_histories,
    known_numbers,
    no_histories,
    select,
    unknown_keys,
)

USER = "user"
_AT_ONCE = 1024


class CatalogueRecommender:
    """Recommends the items of one catalogue; keys in, keys out.

    Keys are texts; a whole number stands for its digits, so 12 is the key "12". Keys that nobody
    has are left out, with a warning. Threads may share one object: no call changes what another
    one answers.

    Attributes:
        items: `item` and `title` of each.
        users: keys of the users whose histories are known.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        items: CatalogueItems,
        users: CatalogueUsers,
        index: Index,
        max_seq_len: int,
        device: str | torch.device = "cpu",
        shared: Path | None = None,
        features: FeatureTable | None = None,
    ) -> None:
        """Computes the vectors of the items and makes the index.

        Args:
            model: a `Recommender` on the device; it is set to evaluation.
            items: of the catalogue.
            users: whose histories are known.
            index: makes the search; a model whose scores follow from no vectors scores all items.
            max_seq_len: the model reads so many items of a history, the most recent.
            device: of the model.
            shared: where several processes keep one table of the items, see `retrieval.mapped`.
            features: raw ones of the items, by which `measure` tells how alike they are.

        Raises:
            ValueError: there are no items, or the index cannot be made.
        """
        self.items = pl.DataFrame({ITEM: items.index.keys, "title": items.titles})
        self.users = users.index.keys.alias(USER)
        self._items = items
        self._users = users
        self._encoder = HistoryEncoder(
            model,
            item_ids=items.item_ids,
            max_seq_len=max_seq_len,
            device=torch.device(device),
        )
        self._finder = ItemFinder(self._encoder, items, index=index, shared=shared)
        self._measures = ListMeasures(items, users, features)

    @property
    def parts(self) -> tuple[str, ...]:
        """What scores are made of: modalities, `id`, `bias`; none where that is not known."""
        return () if self._finder.table is None else self._finder.table.parts

    def without(self, parts: Collection[str]) -> CatalogueRecommender:
        """The same recommender with scores that lack some parts; histories are read whole.

        Args:
            parts: some of `parts`, such as `{"image"}`.

        Raises:
            ValueError: one of them is no part, or no part is left.
        """
        other = copy(self)
        other._finder = self._finder.without(parts)
        return other

    def recommend(
        self,
        histories: KeyLists,
        *,
        k: int = 10,
        exclude_seen: bool = True,
        allow: Keys | None = None,
        block: Keys | None = None,
        lists: Mapping[str, Keys] | None = None,
    ) -> pl.DataFrame:
        """The best items of each history, best first; equal scores by key.

        Args:
            histories: item keys of each, oldest first: lists, a column of lists, or a frame with
                one column of lists. Unknown keys are left out, see `unknown`; a history that holds
                no known item has no rows. Of one that is longer than the model reads, the most
                recent items count, and all are excluded.
            k: items for each; fewer where fewer may be recommended.
            exclude_seen: leave out items of the history.
            allow: only these items.
            block: none of these.
            lists: name -> items: K items out of each, in rows that name the list.

        Returns:
            `history` (its place, from 0), `list` where `lists` are asked for, `rank` from 1,
            `item`, `score`, and of each part of the score `share_<modality>`, `share_id` or
            `share_bias`: its size among the sizes of all parts, which add up to 1.

        Raises:
            ValueError: k is below 1, or something is no list of keys.

        >>> found = model.recommend([["item_8", "item_17"], ["item_3"]], k=2)
        >>> found.select("history", "rank", "item").rows()
        [(0, 1, 'item_19'), (0, 2, 'item_39'), (1, 1, 'item_8'), (1, 2, 'item_7')]
        >>> lists = {"tea": ["item_22", "item_25"], "new": ["item_39", "item_40"]}
        >>> model.recommend([["item_3"]], k=1, lists=lists).select("list", "item").rows()
        [('tea', 'item_22'), ('new', 'item_39')]
        """
        batches = self.recommend_in_batches(
            histories, k=k, exclude_seen=exclude_seen, allow=allow, block=block, lists=lists
        )
        nobody = pl.Series(HISTORY, dtype=pl.Int64)
        return pl.concat([self._finder.nothing(nobody, has_lists=lists is not None), *batches])

    def recommend_in_batches(
        self,
        histories: KeyLists,
        *,
        k: int = 10,
        exclude_seen: bool = True,
        allow: Keys | None = None,
        block: Keys | None = None,
        lists: Mapping[str, Keys] | None = None,
        batch_size: int = _AT_ONCE,
    ) -> Iterator[pl.DataFrame]:
        """As `recommend`, a frame for every `batch_size` histories, which are read as they come.

        >>> stream = ([f"item_{number}"] for number in range(1, 6))
        >>> for batch in model.recommend_in_batches(stream, k=1, batch_size=2):
        ...     print(batch["history"].to_list(), batch["item"].to_list())
        [0, 1] ['item_35', 'item_8']
        [2, 3] ['item_8', 'item_16']
        [4] ['item_29']
        """
        index = self._items.index
        selection = select(
            index, k=k, exclude_seen=exclude_seen, allow=allow, block=block, lists=lists
        )
        for places, known in known_histories(index, histories, batch_size=batch_size):
            yield self._finder.best(known, pl.Series(HISTORY, places, dtype=pl.Int64), selection)

    def recommend_users(
        self,
        users: Keys | None = None,
        *,
        k: int = 10,
        exclude_seen: bool = True,
        allow: Keys | None = None,
        block: Keys | None = None,
        lists: Mapping[str, Keys] | None = None,
    ) -> pl.DataFrame:
        """As `recommend`, for users of the data and all that they are known to have had.

        Args:
            users: their keys; None for all.
            k: as in `recommend`, and so is all else.
            exclude_seen: leave out items that the user has had.
            allow: only these items.
            block: none of these.
            lists: name -> items.

        Returns:
            The columns of `recommend`, with the key as `user` in place of `history`.

        >>> model.recommend_users(["user_7"], k=2).select("user", "item").rows()
        [('user_7', 'item_11'), ('user_7', 'item_36')]
        """
        index = self._items.index
        selection = select(
            index, k=k, exclude_seen=exclude_seen, allow=allow, block=block, lists=lists
        )
        every = self.users if users is None else users
        numbers = known_numbers(self._users.index, every, where="users")
        frames = [self._finder.nothing(self.users, has_lists=lists is not None)]
        for first in range(0, len(numbers), _AT_ONCE):
            some = numbers[first : first + _AT_ONCE]
            some = some[self._users.histories.at(some).lengths > 0]
            own = self._users.histories.at(some)
            frames.append(self._finder.best(own, self.users.gather(some), selection))
        return pl.concat(frames)

    def histories(self, users: Keys | None = None) -> pl.Series:
        """What users of the data are known to have had: a list of item keys each, oldest first.

        Args:
            users: their keys; None for all.

        Raises:
            ValueError: one of them is not known.

        >>> model.histories(["user_7"]).to_list()
        [['item_31', 'item_31', 'item_30', 'item_30', 'item_35', 'item_39', 'item_8']]
        """
        numbers = all_numbers(self._users.index, users, where="users")
        return self._items.key_lists(self._users.histories.at(numbers))

    def unknown(self, histories: KeyLists) -> pl.DataFrame:
        """`history` and `item` of each key in histories that no item of the catalogue has.

        >>> model.unknown([["item_3"], ["item_99", 5]]).rows()
        [(1, 'item_99'), (1, '5')]
        """
        return unknown_keys(self._items.index, histories)

    def titles(self, items: Keys) -> pl.Series:
        """`title` of each item, in their order; null for a key that no item has."""
        return self._items.titles_of(flat_keys(items, where="items"))

    def similar(self, items: Keys, *, k: int = 10) -> pl.DataFrame:
        """The most similar items of each item, the most similar first; never the item itself.

        The score is the cosine of the two items' vectors. Where an item has several, its vector is
        what the fusion makes of them at equal weights: the mean of the tokens of the modalities
        that it has, times their weight, plus what its id adds. So an item with a text alone and
        one with an image alone can be alike, nobody's history counts, and the score is the same
        both ways. A model without vectors is asked what follows a history of the item alone.

        Args:
            items: their keys.
            k: for each.

        Returns:
            `item`, `rank` from 1, `similar` and `score`.

        >>> model.similar(["item_3"], k=2).select("similar", "rank").rows()
        [('item_1', 1), ('item_31', 2)]
        """
        check_k(k)
        numbers = known_numbers(self._items.index, items, where="items")
        parts = np.split(numbers, range(_AT_ONCE, len(numbers), _AT_ONCE))
        return pl.concat(self._finder.similar(some, k=k) for some in parts)

    def encode(self, histories: KeyLists) -> pl.DataFrame:
        """`history` and `vector`, the (D,) user vector u, of each history with a known item.

        Raises:
            ValueError: the model has no vectors of users.

        >>> model.encode([["item_3"], [], ["item_8", "item_17"]])["history"].to_list()
        [0, 2]
        """
        index = self._items.index
        batches = known_histories(index, histories, batch_size=_AT_ONCE)
        return pl.concat(map(self._finder.encoded, chain([no_histories()], batches)))

    def item_vectors(self, items: Keys | None = None) -> pl.DataFrame:
        """The vectors that scores follow from, as `missrec.types.ItemVectors` says.

        Args:
            items: their keys; None for all.

        Returns:
            `item`, `vector_<modality>` of each modality, null where the item lacks it, and
            `vector_id` and `bias` of a model that has them.

        Raises:
            ValueError: the model has no vectors of items.

        >>> model.item_vectors(["item_3"]).columns
        ['item', 'vector_text', 'vector_image', 'vector_id']
        """
        every = self.items[ITEM] if items is None else items
        numbers = known_numbers(self._items.index, every, where="items")
        return vectors_frame(self._finder.vectors, numbers, items=self._items)

    def explain(self, history: Keys, item: str | int) -> pl.DataFrame:
        """Why an item has its score for a history.

        Returns:
            Rows of `kind`, `name`, `title`, `value` and `share`, by kind:
            `score`: the item and its score.
            `part`: a modality, `id` or `bias`; the values add up to the score, and the shares,
            which go by size, to 1.
            `history`: each item that the model reads, oldest first; the score less what it would
            be without that item, null where nothing else would be left.
            `interest`: each interest of the history, by its number and its most central item; the
            largest cosine of it and a token of the item, the nearest interest first.

        Raises:
            ValueError: the item is not known, or the history holds no known item.

        >>> why = model.explain(["item_8", "item_17"], "item_29")
        >>> why.select("kind", "name", why["value"].round(2)).rows()[:6]  # doctest: +ELLIPSIS
        [('score', 'item_29', 0.22), ('part', 'text', 0.01), ('part', 'image', 0.23), ...
        """
        (number,) = all_numbers(self._items.index, [item], where="item").tolist()
        read = known_numbers(self._items.index, history, where="history")
        if not len(read):
            raise ValueError(f"history holds none of the {self._items.index.name}")
        return self._finder.explained(read, number)

    def measure(self, items: Keys) -> dict[str, float]:
        """What can be said of a list of items beyond their scores.

        Returns:
            `popularity`, how often an item of the list has been had by the known users, on average;
            `mean_popularity`, the same of all items; `novelty` in bits; and for each modality with
            features `diversity_<modality>`, see `missrec.metrics.beyond_accuracy`.

        >>> {name: round(value, 2) for name, value in model.measure(["item_8", "item_17"]).items()}
        {'popularity': 23.0, 'mean_popularity': 13.32, 'novelty': 1.74, 'diversity_text': 0.84}
        """
        return self._measures.of(known_numbers(self._items.index, items, where="items"))

    def interests(self) -> pl.DataFrame:
        """The interests that the model has found in the items, the largest first.

        Returns:
            A row for each token of an item: `interest`, its `size` in tokens of these items and
            `share_<modality>` among them, then `item`, `title`, `modality` and `distance` of the
            token to the prototype; within an interest the most central first.

        Raises:
            ValueError: the model finds no interests.

        >>> model.interests().select("interest", "size").unique(maintain_order=True).rows()[:3]
        [(8, 6), (9, 5), (25, 5)]
        """
        return self._finder.interests

    def interest_map(self) -> pl.DataFrame:
        """The interests as points in a plane, the largest first.

        Returns:
            `interest`, `size` and `share_<modality>` as in `interests`; `x` and `y`, its prototype
            on the first two principal components of all of them, and `item` and `title` of its
            most central token.

        Raises:
            ValueError: the model finds no interests.
        """
        return self._finder.interest_map()
