"""Items and users by their external keys: nothing above this knows their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import polars as pl
import torch
from torch import Tensor

from missrec.retrieval.histories import Histories

UNKNOWN = -1
"""Number of a key that is nobody's."""


class KeyIndex:
    """Keys and the numbers 0, 1, ... that stand for them.

    Attributes:
        keys: (N,) strings, each once, in the order of the numbers.
        name: what they are keys of, such as `items of demo_office`.
    """

    def __init__(self, keys: pl.Series, *, name: str) -> None:
        """Takes the keys.

        Args:
            keys: (N,) strings.
            name: what they are keys of, for messages.

        Raises:
            ValueError: a key is missing, no text, or occurs twice.
        """
        if keys.dtype != pl.String or keys.null_count():
            found = "a null" if keys.null_count() else str(keys.dtype)
            raise ValueError(f"the keys of the {name} must all be texts, found {found}")
        self.keys = keys
        self.name = name
        self._numbers = {key: number for number, key in enumerate(keys.to_list())}
        if len(self._numbers) != len(keys):
            twice = keys.filter(keys.is_duplicated())[0]
            raise ValueError(f"the keys of the {name} must differ, and {twice!r} occurs twice")

    def __len__(self) -> int:
        """N."""
        return len(self.keys)

    def numbers(self, keys: Iterable[str]) -> np.ndarray:
        """(number of keys,) int64; `UNKNOWN` for a key that is nobody's."""
        number = self._numbers.get
        return np.fromiter((number(key, UNKNOWN) for key in keys), dtype=np.int64)


class CatalogueItems:
    """The items of one domain that may be recommended, numbered from 0.

    Attributes:
        domain: its name.
        index: their keys.
        titles: (N,) what to call each.
        item_ids: (N,) int64, what the model calls them, rising.
    """

    def __init__(
        self,
        *,
        domain: str,
        keys: pl.Series,
        titles: pl.Series,
        first_id: int = 1,
        known: np.ndarray | None = None,
    ) -> None:
        """Takes the items.

        Args:
            domain: name of the domain.
            keys: (N,) strings.
            titles: (N,) strings.
            first_id: what the model calls the first of them; the others follow.
            known: (N,) bool, False of items that the model knows nothing of: they are left out, as
                if the domain did not have them. None for all.

        Raises:
            ValueError: see `KeyIndex`; or the titles are not as many.
        """
        if len(titles) != len(keys):
            raise ValueError(f"{domain} has {len(keys)} items and {len(titles)} titles")
        kept = np.arange(len(keys)) if known is None else np.flatnonzero(known)
        self.domain = domain
        self.index = KeyIndex(keys.gather(kept), name=f"items of {domain}")
        self.titles = titles.gather(kept)
        self.item_ids = kept + first_id

    def __len__(self) -> int:
        """N."""
        return len(self.index)

    def key_lists(self, histories: Histories) -> pl.Series:
        """(H,) lists of the keys of their items, as the column `history`."""
        keys = self.index.keys.gather(histories.items).to_list()
        lists = [keys[first:last] for first, last in pairwise(histories.offsets.tolist())]
        return pl.Series("history", lists, dtype=pl.List(pl.String))

    def titles_of(self, keys: Sequence[str]) -> pl.Series:
        """`title` of each key; null for one that no item has."""
        numbers = pl.Series(self.index.numbers(keys), dtype=pl.Int64)
        known = numbers.set(numbers == UNKNOWN, None)
        titles = self.titles.gather(known)
        untitled = known.is_not_null() & titles.is_null()
        return titles.zip_with(~untitled, pl.Series(keys, dtype=pl.String)).alias("title")

    def numbers_of(self, item_ids: np.ndarray) -> np.ndarray:
        """int64 numbers of items that the model calls so; `UNKNOWN` of others."""
        places = np.searchsorted(self.item_ids, item_ids).clip(max=len(self) - 1)
        numbers: np.ndarray = np.where(self.item_ids[places] == item_ids, places, UNKNOWN)
        return numbers

    @property
    def key_ranks(self) -> Tensor:
        """(N,) int64, the place of each key among all of them sorted; equal scores go by it."""
        ranks = np.empty(len(self), dtype=np.int64)
        ranks[self.index.keys.arg_sort().to_numpy()] = np.arange(len(self))
        return torch.from_numpy(ranks)


class CatalogueUsers:
    """The users of one domain and all that they are known to have had.

    Attributes:
        index: their keys.
        histories: (U of them) in the order of the keys.
    """

    def __init__(self, *, domain: str, keys: pl.Series, histories: Histories) -> None:
        """Takes the users.

        Args:
            domain: name of the domain.
            keys: (U,) strings.
            histories: of each, by the numbers of the items.

        Raises:
            ValueError: see `KeyIndex`; or the histories are not as many.
        """
        if len(histories) != len(keys):
            raise ValueError(f"{domain} has {len(keys)} users and {len(histories)} histories")
        self.index = KeyIndex(keys, name=f"users of {domain}")
        self.histories = histories
