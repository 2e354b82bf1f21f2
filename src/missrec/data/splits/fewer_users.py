"""A share of the users are trained on, all are tested: the points of a learning curve."""

from __future__ import annotations

import numpy as np

from missrec.data.splits.splitter import AnySplitter, Keys, Split, Splitter, with_keys
from missrec.data.splits.users import in_order, places_of


class FewerUsers:
    """Another split, of which training sees some users and nothing of the others.

    Targets and histories of validation and test are those of the other split, so runs on several
    shares are compared over the same users. Who is trained on depends on the keys of the users and
    the seed alone, and a larger share has the users of a smaller one.
    """

    def __init__(self, *, of: AnySplitter, train_share: float, seed: int) -> None:
        """Keeps the settings.

        Args:
            of: the other split.
            train_share: of each domain's users, rounded, at least one.
            seed: of the choice.

        Raises:
            ValueError: train_share is not above 0 and at most 1.
        """
        if not 0 < train_share <= 1:
            raise ValueError(f"train_share ({train_share}) must be above 0 and at most 1")
        self._of, self._train_share, self._seed = of, train_share, seed
        self.needs_times = of.needs_times

    def with_keys(self, keys: Keys) -> _SomeTrained:
        """What splits the interactions of these users."""
        of = with_keys(self._of, lambda: keys)
        return _SomeTrained(of, places_of(keys.users, self._seed), train_share=self._train_share)


class _SomeTrained:
    def __init__(self, of: Splitter, places: np.ndarray, *, train_share: float) -> None:
        """Takes a number for each user; those with the lowest are trained on."""
        self._of, self._places, self._train_share = of, places, train_share
        self.needs_times = of.needs_times

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """Each domain has its share of trained users; see `Splitter`."""
        split = self._of(offsets=offsets, times=times, first_users=first_users)
        is_trained = np.zeros(len(offsets) - 1, dtype=bool)
        for order in in_order(self._places, first_users):
            is_trained[order[: max(1, round(len(order) * self._train_share))]] = True
        owners = np.searchsorted(offsets, split.train, side="right") - 1
        return split._replace(
            train=split.train[is_trained[owners]],
            train_ends=np.where(is_trained, split.train_ends, offsets[:-1]),
        )
