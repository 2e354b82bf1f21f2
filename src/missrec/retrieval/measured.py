"""What can be said of a list of items that is recommended to somebody, beyond its scores."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from missrec.features.table import FeatureTable
from missrec.metrics.beyond_accuracy import (
    Features,
    ItemFacts,
    average_popularity,
    intra_list_diversity,
    mean_inverse_user_frequency,
    users_per_item,
)
from missrec.retrieval.catalogue import CatalogueItems, CatalogueUsers


class ListMeasures:
    """Measures lists by what users are known to have had, and by the features of the items."""

    def __init__(
        self, items: CatalogueItems, users: CatalogueUsers, features: FeatureTable | None
    ) -> None:
        """Takes what is known.

        Args:
            items: of the catalogue.
            users: whose histories are known; there may be none.
            features: of the items, by what the model calls them; None where there are none.
        """
        self._items = items
        self._users = users
        self._features = features

    def of(self, numbers: np.ndarray) -> dict[str, float]:
        """`popularity`, `mean_popularity`, `novelty` and `diversity_<modality>` of some items.

        Args:
            numbers: (K,) of items, each once.

        Returns:
            What can be said: without users nothing of popularity and novelty, without features of
            two items nothing of diversity.
        """
        if not len(numbers):
            return {}
        return {**self._by_users(numbers + 1), **self._by_features(numbers)}

    def _by_users(self, item_ids: np.ndarray) -> dict[str, float]:
        facts = self._facts
        if not facts.num_users:
            return {}
        novelty = mean_inverse_user_frequency(
            item_ids[None], user_counts=facts.user_counts, num_users=facts.num_users
        )
        return {
            "popularity": float(average_popularity(item_ids[None], counts=facts.counts)[0]),
            "mean_popularity": float(facts.counts[1:].mean()),
            "novelty": float(novelty[0]),
        }

    def _by_features(self, numbers: np.ndarray) -> dict[str, float]:
        table = self._features
        if table is None or len(numbers) < 2:
            return {}
        item_ids = torch.from_numpy(self._items.item_ids[numbers])
        places = np.arange(1, len(numbers) + 1)
        found = {}
        for row, name in enumerate(table.modalities):
            present = table.present(item_ids)[row]
            values = table.lookup(row, item_ids[present]).cpu().numpy()
            own = Features(places[present.cpu().numpy()], values)
            found[f"diversity_{name}"] = float(intra_list_diversity(places[None], features=own)[0])
        return {name: value for name, value in found.items() if not np.isnan(value)}

    @cached_property
    def _facts(self) -> ItemFacts:
        histories, num_items = self._users.histories, len(self._items)
        counts = np.bincount(histories.items, minlength=num_items)
        user_counts = users_per_item(histories.items, histories.offsets, num_items=num_items)
        padding = np.zeros(1, dtype=np.int64)
        return ItemFacts(
            counts=np.concatenate([padding, counts]),
            user_counts=np.concatenate([padding, user_counts]),
            num_users=int((histories.lengths > 0).sum()),
            features={},
        )
