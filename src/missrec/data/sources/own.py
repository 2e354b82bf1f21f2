"""One's own interactions and items as a domain."""

from __future__ import annotations

import logging

import polars as pl

from missrec.data.domain import PreparedDomain
from missrec.data.sources.events import ITEM_ROWS
from missrec.data.sources.filtering import InteractionFilter
from missrec.data.sources.keys import one_spelling
from missrec.data.sources.lines import Rejects
from missrec.data.sources.own_interactions import OwnInteractions
from missrec.data.sources.own_items import OwnItems
from missrec.files import sha256

_log = logging.getLogger(__name__)


class OwnDomain:
    """A domain from one's own files."""

    def __init__(
        self,
        *,
        name: str,
        interactions: OwnInteractions,
        items: OwnItems,
        interaction_filter: InteractionFilter,
        rejects: Rejects,
    ) -> None:
        """Keeps the parts; nothing is read yet.

        Args:
            name: of the domain.
            interactions: who took what.
            items: what there is; without a file: what was taken, without texts and images.
            interaction_filter: which interactions stay.
            rejects: takes the rows that cannot be used.
        """
        self._name = name
        self._interactions = interactions
        self._items = items
        self._filter = interaction_filter
        self._rejects = rejects

    def read(self) -> PreparedDomain:
        """The whole domain.

        Raises:
            FileNotFoundError, ValueError: a file is missing or damaged, lacks a column, has too
                many rows that cannot be used, or no interaction is left.
        """
        item_parts = self._items.parts
        parts = [*self._interactions.parts, *item_parts]
        with self._rejects:
            read = self._interactions.read(self._rejects)
            if item_parts:
                items, num_item_rows = self._items.read(self._rejects)
            else:
                items, num_item_rows = _taken(read.timeline.events), 0
                _log.info("%s: no file of items, so these have ids alone", self._name)
        return self._filter.domain(
            name=self._name,
            events=read.timeline.events,
            items=items,
            timed=self._interactions.timed,
            moments=read.timeline.moments,
            num_rows=read.num_rows,
            num_left_out=read.num_left_out,
            settings={
                "source": "own files",
                "files": {part.name: sha256(part.path) for part in parts},
                "rejected_rows": self._rejects.num_rejected,
                "item_rows": num_item_rows,
                "items": len(items),
            },
            published={},
        )


def _taken(events: pl.DataFrame) -> pl.DataFrame:
    """The items that occur in events, with nothing but their keys."""
    keys = one_spelling(events["item_key"].unique().cast(pl.String)).unique().sort()
    empty = {"item_key": keys, "text": [""] * len(keys), "image_urls": [[]] * len(keys)}
    return pl.DataFrame(empty, schema=ITEM_ROWS)
