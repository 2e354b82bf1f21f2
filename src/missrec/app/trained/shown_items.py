"""Examples and interests of a run with titles and small pictures, for a page that holds them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from PIL import Image, ImageOps

from missrec.app.trained.explored import pictures_of
from missrec.app.trained.loading import catalogue_of
from missrec.app.trained.ranked_again import TrainedRun
from missrec.features.images.naming import IMAGES
from missrec.report.ship import Example, ShownInterest, ShownItem
from missrec.retrieval.indexes import named_index
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.pictures import Pictures

_SIDE = 144
"""Pixels of a small picture, twice of what is shown."""
_TITLE = 160


class Shown(NamedTuple):
    """What a page shows of items."""

    examples: tuple[Example, ...]
    interests: tuple[ShownInterest, ...]


def shown_items(
    run: TrainedRun, ranks: pl.DataFrame, *, data_dir: Path, num_examples: int, num_interests: int
) -> Shown:
    """Test users at even distances, and the largest interests.

    Args:
        run: on its data.
        ranks: of its test users, by rising user.
        data_dir: holds the domain folders, and the images.
        num_examples: test users.
        num_interests: interests; of a model that finds none, none.
    """
    items, users = catalogue_of(run.domains, 0)
    recommender = CatalogueRecommender(
        model=run.model,
        items=items,
        users=users,
        index=named_index("exact"),
        max_seq_len=run.settings.config["datamodule"]["max_seq_len"],
    )
    cards = _Cards(recommender, pictures_of(run.domains.folders[0], data_dir / IMAGES))
    rows = np.unique(np.linspace(0, len(ranks) - 1, num_examples).round().astype(int))
    examples = tuple(_examples(run, recommender, cards, ranks[rows.tolist()]))
    return Shown(examples, tuple(_interests(recommender, cards, num_interests)))


class _Cards:
    """Items as a page shows them; each picture is made small once."""

    def __init__(self, recommender: CatalogueRecommender, pictures: Pictures) -> None:
        self._titles = dict(recommender.items.select("item", "title").iter_rows())
        self._pictures = pictures
        self._made: dict[str, str] = {}

    def of(self, keys: Sequence[str], *, target: str | None = None) -> tuple[ShownItem, ...]:
        """The items of some keys; one of them is what came next."""
        return tuple(self._card(key, is_target=key == target) for key in keys)

    def _card(self, key: str, *, is_target: bool) -> ShownItem:
        title = " ".join((self._titles.get(key) or "").split())
        shown = title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
        if key not in self._made:
            self._made[key] = self._small(key)
        return ShownItem(key, shown, self._made[key], is_target)

    def _small(self, key: str) -> str:
        picture = self._pictures.of(key)
        if picture is None:
            return ""
        try:
            with Image.open(picture.path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGBA")
        except (OSError, ValueError, Image.DecompressionBombError):  # a damaged file is no picture
            return ""
        upright.thumbnail((_SIDE, _SIDE))
        white = Image.new("RGBA", upright.size, "white")
        white.alpha_composite(upright)
        made = io.BytesIO()
        white.convert("RGB").save(made, "JPEG", quality=70)
        return f"data:image/jpeg;base64,{base64.b64encode(made.getvalue()).decode()}"


def _examples(
    run: TrainedRun, recommender: CatalogueRecommender, cards: _Cards, ranks: pl.DataFrame
) -> list[Example]:
    mixed, targets = run.domains.mixed, run.domains.split.test
    keys, first = recommender.items["item"], run.domains.spans[0].first_item
    found = []
    for user, target, rank in ranks.select("user_id", "target_id", "rank").iter_rows():
        start = mixed.offsets[user]
        end = targets[np.searchsorted(targets, start)]
        history = keys.gather(mixed.items[start:end].astype(np.int64) - first).to_list()
        best = recommender.recommend([history], k=_BEST)["item"].to_list()
        next_key = keys[target - 1]
        (card,) = cards.of([next_key], target=next_key)
        found.append(
            Example(
                user=recommender.users[user],
                history=cards.of(history[-_LAST:]),
                target=card,
                rank=rank,
                recommended=cards.of(best, target=next_key),
            )
        )
    return found


_BEST, _LAST, _NEAREST = 6, 5, 6
"""Items of a list, of a history, and of an interest that are shown."""


def _interests(
    recommender: CatalogueRecommender, cards: _Cards, num_interests: int
) -> list[ShownInterest]:
    try:
        tokens = recommender.interests()
    except ValueError:  # the model finds none
        return []
    found: list[ShownInterest] = []
    for (interest, size), own in tokens.group_by("interest", "size", maintain_order=True):
        if len(found) == num_interests:
            break
        nearest = own["item"].unique(maintain_order=True).head(_NEAREST).to_list()
        found.append(ShownInterest(int(str(interest)), int(str(size)), cards.of(nearest)))
    return found
