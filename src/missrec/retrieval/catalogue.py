"""Items and users by their external keys: nothing above this knows their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
import torch
from torch import Tensor

from missrec.retrieval.histories import Histories

UNKNOWN = -1
"""Number of a key that no item, or no user, has."""


class KeyIndex:
    """Keys and the numbers 0, 1, ... that stand for them.

    Attributes:
        keys: (N,) strings, each once, in the order of the numbers.
    """

    def __init__(self, keys: pl.Series, *, of: str) -> None:
        """Takes the keys.

        Args:
            keys: of number 0, 1, ...
            of: what they are keys of, for messages, such as `items of demo_office`.

        Raises:
            ValueError: a key is missing, no text, or occurs twice.
        """
        if keys.dtype != pl.String or keys.null_count():
            raise ValueError(f"the keys of the {of} must all be texts, found {keys.dtype}")
        if keys.n_unique() != len(keys):
            twice = keys.filter(keys.is_duplicated())[0]
            raise ValueError(f"the keys of the {of} must differ, and {twice!r} occurs twice")
        self.keys = keys
        self._number_of = {key: number for number, key in enumerate(keys.to_list())}

    def __len__(self) -> int:
        """N."""
        return len(self.keys)

    def __contains__(self, key: object) -> bool:
        """Whether one has this key."""
        return key in self._number_of

    def numbers(self, keys: Iterable[str]) -> np.ndarray:
        """(number of keys,) int64; `UNKNOWN` for a key that none has."""
        get = self._number_of.get
        return np.fromiter((get(key, UNKNOWN) for key in keys), dtype=np.int64)


class CatalogueItems:
    """The items of one domain, numbered from 0.

    Attributes:
        domain: its name.
        index: the keys.
        titles: (N,) what to call each item.
    """

    def __init__(
        self, *, domain: str, keys: pl.Series, titles: pl.Series, first_id: int = 1
    ) -> None:
        """Takes the items.

        Args:
            domain: name of the domain.
            keys: (N,) strings.
            titles: (N,) strings.
            first_id: item id of number 0 in the model; others follow.

        Raises:
            ValueError: keys are missing or occur twice, or the titles are not as many.
        """
        if len(titles) != len(keys):
            raise ValueError(f"{domain} has {len(keys)} items and {len(titles)} titles")
        self.domain = domain
        self.index = KeyIndex(keys, of=f"items of {domain}")
        self.titles = titles
        self._first_id = first_id

    def __len__(self) -> int:
        """N."""
        return len(self.index)

    @property
    def item_ids(self) -> Tensor:
        """(N,) int64, what the model calls them."""
        return torch.arange(self._first_id, self._first_id + len(self))

    def ids_of(self, numbers: np.ndarray) -> np.ndarray:
        """What the model calls items of these numbers."""
        return numbers + self._first_id

    def key_ranks(self) -> Tensor:
        """(N,) int64, the place of each key among all in order; equal scores go by it."""
        ranks = np.empty(len(self), dtype=np.int64)
        ranks[self.index.keys.arg_sort().to_numpy()] = np.arange(len(self))
        return torch.from_numpy(ranks)


class CatalogueUsers:
    """The users of one domain and all that is known of them.

    Attributes:
        index: the keys.
    """

    def __init__(
        self, *, domain: str, keys: pl.Series, items: np.ndarray, offsets: np.ndarray
    ) -> None:
        """Takes the users; the arrays are shared, not copied.

        Args:
            domain: name of the domain.
            keys: (U,) strings.
            items: (number of interactions,) numbers of items, user after user, oldest first.
            offsets: (U + 1,) int64; user u owns items[offsets[u]:offsets[u + 1]].
        """
        self.index = KeyIndex(keys, of=f"users of {domain}")
        self._all = Histories(items, offsets)

    def histories(self, users: Sequence[int] | np.ndarray) -> Histories:
        """The histories of users of these numbers, in their order."""
        return self._all.at(np.asarray(users, dtype=np.int64))
