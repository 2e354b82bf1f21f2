"""A trained model on its catalogue: recommendations, similar items and reasons by external keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

Keys = Sequence[str]


class CatalogueRecommender:
    """Recommends the items of one catalogue; keys in, keys out."""

    def recommend(
        self,
        histories: Sequence[Keys],
        *,
        k: int = 10,
        exclude_seen: bool = True,
        allow: Keys | None = None,
        block: Keys | None = None,
        lists: Mapping[str, Keys] | None = None,
    ) -> pl.DataFrame:
        """The best items of each history, best first.

        Args:
            histories: item keys, oldest first; unknown keys are left out, see `unknown`. A history
                that holds no known item has no rows.
            k: items for each history.
            exclude_seen: leave out items of the history.
            allow: only these items.
            block: none of these.
            lists: name -> items: K items out of each, in rows that name the list.

        Returns:
            `history` (its place), `list` where `lists` are asked for, `rank` from 1, `item`,
            `score`, and `share_<modality>` (and `share_id`): what of the score each makes.
        """
        raise NotImplementedError

    def similar(self, items: Keys, *, k: int = 10) -> pl.DataFrame:
        """The most similar items of each item: `item`, `rank`, `similar`, `score`."""
        raise NotImplementedError

    def encode(self, histories: Sequence[Keys]) -> pl.DataFrame:
        """`history` and `vector`, the user vector u of each history."""
        raise NotImplementedError

    def explain(self, history: Keys, item: str) -> pl.DataFrame:
        """Why an item has its score: a row for each part of it, and each item of the history."""
        raise NotImplementedError

    def interests(self) -> pl.DataFrame:
        """The interests that were found: `interest`, `item`, `modality`, `distance`."""
        raise NotImplementedError
