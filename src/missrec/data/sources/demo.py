"""Synthetic domains with planted interests, so that everything runs without a download."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from missrec.data.domain import PreparedDomain, flatten
from missrec.data.sources.demo_pictures import style_picture

TOPICS = (
    "paint brush",
    "espresso",
    "camping",
    "guitar",
    "knitting",
    "gardening",
    "cycling",
    "baking",
    "chess",
    "aquarium",
    "woodworking",
    "yoga",
    "photography",
    "stationery",
    "tea",
    "soldering",
)
"""What a text shows of an item."""

DAY_SEC = 24 * 60 * 60


class _World(NamedTuple):
    """What all demo domains share, so that pre-training on some helps on another.

    Attributes:
        topic_centers: (topics, F) where the texts of a topic lie.
        style_centers: (styles, F) where the images of a style lie.
        next_topic: (topics, 2) what usually follows a topic.
        next_style: (styles, 2) what usually follows a style.
    """

    topic_centers: np.ndarray
    style_centers: np.ndarray
    next_topic: np.ndarray
    next_style: np.ndarray


class DemoDomain:
    """A generated domain in which both modalities matter, to different users.

    Each item has a topic, which only its text shows, and a style, which only its image shows.
    Half of the users go from topic to topic, half from style to style, along transitions that all
    domains share; within a topic or style they take items by a power law. So a popularity
    ranking is far behind, and a text-only model cannot follow the second half.
    """

    def __init__(
        self,
        *,
        name: str,
        seed: int,
        world_seed: int,
        num_users: int,
        num_items: int,
        image_prob: float,
        feature_dim: int,
        num_styles: int,
        mean_length: int,
        follow_prob: float,
        wander_prob: float,
        power_law: float,
        feature_noise: float,
    ) -> None:
        """Keeps the settings; the same settings give the same domain.

        Args:
            name: name of the domain.
            seed: of this domain's items and users.
            world_seed: of what the domains share.
            num_users: number of users.
            num_items: N.
            image_prob: share of the items that have an image.
            feature_dim: F of both modalities.
            num_styles: number of styles; the topics are `TOPICS`.
            mean_length: mean number of interactions of a user, at least 5 each.
            follow_prob: probability that a step follows the planted transition rather than
                returning to one of the user's favourites.
            wander_prob: probability that a step takes any item by popularity.
            power_law: exponent of the popularity within a topic or style.
            feature_noise: standard deviation of an item's own part of its features, where the
                centres of topics and styles have 1.

        Raises:
            ValueError: there would be no user or no item.
        """
        for setting, number in (("num_users", num_users), ("num_items", num_items)):
            if number < 1:
                raise ValueError(f"{setting} ({number}) must be at least 1")
        self._name = name
        self._seed = seed
        self._world_seed = world_seed
        self._num_users = num_users
        self._num_items = num_items
        self._image_prob = image_prob
        self._feature_dim = feature_dim
        self._num_styles = num_styles
        self._mean_length = mean_length
        self._follow_prob = follow_prob
        self._wander_prob = wander_prob
        self._power_law = power_law
        self._feature_noise = feature_noise

    def read(self) -> PreparedDomain:
        """Generates the domain."""
        rng = np.random.default_rng(self._seed)
        world = self._world()
        topics = rng.integers(len(TOPICS), size=self._num_items)
        styles = rng.integers(self._num_styles, size=self._num_items)
        # Long tail: the item of popularity rank r is taken in proportion to r^-power_law.
        popularity = (1.0 + rng.permutation(self._num_items)) ** -self._power_law
        sequences = [
            self._walk(rng, topics, world.next_topic, popularity)
            if user % 2 == 0
            else self._walk(rng, styles, world.next_style, popularity)
            for user in range(self._num_users)
        ]
        items, offsets = flatten(sequences)
        text = self._features(rng, world.topic_centers[topics])
        image = self._features(rng, world.style_centers[styles])
        has_image = rng.random(self._num_items) < self._image_prob
        image[~has_image] = 0  # all zeros = no image
        item_keys = [f"item_{item}" for item in range(1, self._num_items + 1)]
        return PreparedDomain(
            name=self._name,
            items=items,
            offsets=offsets,
            times=self._times(offsets),
            user_keys=[f"user_{user}" for user in range(self._num_users)],
            item_keys=item_keys,
            item_texts=[
                f"{TOPICS[topic].capitalize()} set no. {item}. {TOPICS[topic]}."
                for item, topic in enumerate(topics, start=1)
            ],
            image_urls=None,
            features={"text": text, "image": image},
            settings={"source": "generated", "seed": self._seed, "world_seed": self._world_seed},
            pictures={
                item_keys[item]: style_picture(int(styles[item]), turn=item / self._num_items)
                for item in np.flatnonzero(has_image)
            },
        )

    def _world(self) -> _World:
        rng = np.random.default_rng(self._world_seed)
        return _World(
            topic_centers=rng.normal(size=(len(TOPICS), self._feature_dim)),
            style_centers=rng.normal(size=(self._num_styles, self._feature_dim)),
            next_topic=rng.integers(len(TOPICS), size=(len(TOPICS), 2)),
            next_style=rng.integers(self._num_styles, size=(self._num_styles, 2)),
        )

    def _times(self, offsets: np.ndarray) -> np.ndarray:
        """(number of interactions,) seconds: users start within a year and act within days."""
        rng = np.random.default_rng([self._seed, 1])  # its own: the rest stays as it was
        lengths = np.diff(offsets)
        starts = rng.integers(365 * DAY_SEC, size=len(lengths))
        elapsed = np.cumsum(rng.integers(1, 10 * DAY_SEC, size=offsets[-1]))
        before = np.repeat(elapsed[offsets[:-1]] - starts, lengths)
        return np.asarray(elapsed - before)

    def _features(self, rng: np.random.Generator, centers: np.ndarray) -> np.ndarray:
        """(N, F) float32."""
        own = rng.normal(scale=self._feature_noise, size=centers.shape)
        return np.asarray(centers + own, dtype=np.float32)

    def _walk(
        self,
        rng: np.random.Generator,
        kind_of_item: np.ndarray,
        next_kind: np.ndarray,
        popularity: np.ndarray,
    ) -> list[int]:
        """Item ids of one user who goes from kind to kind, a kind being a topic or a style."""
        favourites = rng.choice(len(next_kind), size=3)
        kind = int(favourites[0])
        sequence: list[int] = []
        for _ in range(5 + rng.poisson(self._mean_length - 5)):
            weights = popularity * (kind_of_item == kind)
            if rng.random() < self._wander_prob or not weights.any():
                weights = popularity
            item = int(rng.choice(self._num_items, p=weights / weights.sum()))
            sequence.append(item + 1)
            follows = rng.random() < self._follow_prob
            kind = int(rng.choice(next_kind[kind_of_item[item]] if follows else favourites))
        return sequence
