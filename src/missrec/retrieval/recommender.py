"""A trained model on its catalogue: recommendations, similar items and reasons by external keys."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from missrec.retrieval.catalogue import UNKNOWN, CatalogueItems, CatalogueUsers
from missrec.retrieval.histories import Histories, KeyLists, Keys, flat_keys, key_batches
from missrec.retrieval.search import NO_ITEM, Search, TopK, Wanted
from missrec.types import Recommender, SequenceBatch

HISTORY, USER, ITEM, LIST, RANK, SCORE = "history", "user", "item", "list", "rank", "score"
_AT_ONCE = 1024
_EXAMPLES = 3

_log = logging.getLogger(__name__)


class _Asked(NamedTuple):
    """What is asked for each history.

    Attributes:
        k: items.
        exclude_seen: none of the history.
        lists: name -> (N,) bool, the items that the list may give; None for all.
    """

    k: int
    exclude_seen: bool
    lists: dict[str | None, Tensor | None]


class CatalogueRecommender:
    """Recommends the items of one catalogue; keys in, keys out.

    Threads may share one: a call changes nothing of it.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        items: CatalogueItems,
        users: CatalogueUsers,
        search: Search,
        max_seq_len: int,
        device: str = "cpu",
    ) -> None:
        """Takes the ready parts.

        Args:
            model: a `Recommender` on the device, which is set to evaluation.
            items: of the catalogue.
            users: whose histories are known.
            search: for the best of these items.
            max_seq_len: the model reads so many items of a history, the most recent.
            device: of the model.
        """
        self._model = model.eval()
        self._items = items
        self._users = users
        self._search = search
        self._max_seq_len = max_seq_len
        self._device = torch.device(device)

    @property
    def items(self) -> pl.DataFrame:
        """`item` and `title` of the catalogue."""
        return pl.DataFrame({ITEM: self._items.index.keys, "title": self._items.titles})

    @property
    def users(self) -> pl.Series:
        """The keys of the users whose histories are known."""
        return self._users.index.keys.alias(USER)

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
            histories: item keys, oldest first; unknown keys are left out, see `unknown`. A history
                that holds no known item has no rows.
            k: items for each history; fewer where fewer may be recommended.
            exclude_seen: leave out items of the history.
            allow: only these items.
            block: none of these.
            lists: name -> items: K items out of each, in rows that name the list.

        Returns:
            `history` (its place), `list` where `lists` are asked for, `rank` from 1, `item`,
            `score`, and `share_<modality>` (and `share_id`): what of the score each makes.

        Raises:
            ValueError: k is below 1, or the histories are no lists of keys.
        """
        return pl.concat(
            self.recommend_in_batches(
                histories,
                k=k,
                exclude_seen=exclude_seen,
                allow=allow,
                block=block,
                lists=lists,
            )
        )

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
        """What `recommend` returns, a frame for every `batch_size` histories; at least one."""
        asked = self._asked(k, exclude_seen, allow, block, lists)
        first = 0
        yield self._frame(Histories(np.empty(0, np.int64), np.zeros(1, np.int64)), asked, first)
        for keys, offsets in key_batches(histories, size=batch_size):
            numbers = self._items.index.numbers(keys)
            known = Histories(numbers, offsets).only(numbers != UNKNOWN)
            self._warn_of_unknown(keys, numbers)
            yield self._frame(known, asked, first)
            first += len(known)

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
        """As `recommend`, for users by key and all that is known of them; `user` for `history`.

        Args:
            users: keys; None for all.
            k: see `recommend`, as the rest.
            exclude_seen: leave out items that the user has.
            allow: only these items.
            block: none of these.
            lists: name -> items.
        """
        raise NotImplementedError

    def similar(self, items: Keys, *, k: int = 10) -> pl.DataFrame:
        """The most similar items of each item: `item`, `rank`, `similar`, `score`."""
        raise NotImplementedError

    def encode(self, histories: KeyLists) -> pl.DataFrame:
        """`history` and `vector`, the user vector u of each history."""
        raise NotImplementedError

    def explain(self, history: Keys, item: str) -> pl.DataFrame:
        """Why an item has its score: a row for each part of it, and each item of the history."""
        raise NotImplementedError

    def interests(self) -> pl.DataFrame:
        """The interests that were found: `interest`, `item`, `modality`, `distance`."""
        raise NotImplementedError

    def _asked(
        self,
        k: int,
        exclude_seen: bool,
        allow: Keys | None,
        block: Keys | None,
        lists: Mapping[str, Keys] | None,
    ) -> _Asked:
        if k < 1:
            raise ValueError(f"k ({k}) must be at least 1")
        allowed: Tensor | None = None
        if allow is not None:
            allowed = self._mask(allow, "allow")
        if block is not None:
            blocked = self._mask(block, "block")
            allowed = ~blocked if allowed is None else allowed & ~blocked
        if lists is None:
            return _Asked(k, exclude_seen, {None: allowed})
        named = {name: self._mask(keys, f"the list {name!r}") for name, keys in lists.items()}
        each: dict[str | None, Tensor | None] = {
            name: own if allowed is None else own & allowed for name, own in named.items()
        }
        return _Asked(k, exclude_seen, each)

    def _mask(self, keys: Keys, name: str) -> Tensor:
        texts = flat_keys(keys, where=name)
        numbers = self._items.index.numbers(texts)
        self._warn_of_unknown(texts, numbers)
        mask = torch.zeros(len(self._items), dtype=torch.bool)
        mask[torch.from_numpy(numbers[numbers != UNKNOWN])] = True
        return mask.to(self._device)

    def _warn_of_unknown(self, keys: Sequence[str], numbers: np.ndarray) -> None:
        places = np.flatnonzero(numbers == UNKNOWN)
        if len(places):
            some = list(dict.fromkeys(keys[place] for place in places[: 10 * _EXAMPLES].tolist()))
            _log.warning(
                "%s of %s keys are no items of %s, such as %s",
                len(places),
                len(keys),
                self._items.domain,
                ", ".join(map(repr, some[:_EXAMPLES])),
            )

    @torch.inference_mode()
    def _encode(self, histories: Histories) -> Tensor:
        """(H, ...) what the model knows of histories that are not empty."""
        recent = histories.recent(self._max_seq_len)
        item_ids = Histories(self._items.ids_of(recent.items), recent.offsets).padded()
        nothing = torch.zeros(len(histories), dtype=torch.int64)
        batch = SequenceBatch(torch.arange(len(histories)), item_ids, nothing)
        on_device = SequenceBatch(*(part.to(self._device) for part in batch))
        return cast("Recommender", self._model).encode(on_device)

    @torch.inference_mode()
    def _frame(self, histories: Histories, asked: _Asked, first: int) -> pl.DataFrame:
        rows = np.flatnonzero(histories.lengths)
        frames = []
        own = histories.at(rows)
        encoded = self._encode(own) if len(rows) else None
        for name, allowed in asked.lists.items():
            if encoded is None:
                found = TopK(torch.empty(0, 0, dtype=torch.int64), torch.empty(0, 0).double())
            else:
                wanted = Wanted(allowed=allowed)
                if asked.exclude_seen:
                    users, items = (
                        torch.from_numpy(a).to(self._device) for a in (own.rows, own.items)
                    )
                    wanted = wanted._replace(excluded_users=users, excluded_items=items)
                found = self._search.top_k(encoded, k=min(asked.k, len(self._items)), wanted=wanted)
            places, ranks = (found.items != NO_ITEM).nonzero(as_tuple=True)
            numbers = found.items[places, ranks].cpu().numpy()
            frame = pl.DataFrame(
                {
                    HISTORY: first + rows[places.cpu().numpy()].astype(np.int64),
                    RANK: ranks.cpu().numpy() + 1,
                    ITEM: self._items.index.keys.gather(numbers),
                    SCORE: found.scores[places, ranks].cpu().numpy(),
                }
            )
            if name is not None:
                frame.insert_column(1, pl.Series(LIST, [name] * len(frame), dtype=pl.String))
            frames.append(frame)
        return pl.concat(frames).sort(HISTORY, maintain_order=True)
