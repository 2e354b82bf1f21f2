"""What a search for the best items of each user is asked, and what it answers."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

NO_ITEM = -1


class Wanted(NamedTuple):
    """Which items may be recommended, of the N of a catalogue, counted from 0.

    Attributes:
        allowed: (N,) bool, True where any user may get the item; None allows all.
        excluded_users: (E,) int64, row of a user in the batch ...
        excluded_items: (E,) int64, ... and an item that this user must not get, such as one that
            the user has; None excludes nothing.
    """

    allowed: Tensor | None = None
    excluded_users: Tensor | None = None
    excluded_items: Tensor | None = None

    def of_users(self, users: Tensor) -> Wanted:
        """What some users (B',) of the batch, each once, want, as a batch of their own."""
        if self.excluded_users is None or self.excluded_items is None:
            return self
        of_exclusion, row = (self.excluded_users[:, None] == users).nonzero(as_tuple=True)
        return self._replace(excluded_users=row, excluded_items=self.excluded_items[of_exclusion])


class TopK(NamedTuple):
    """The best items of B users, best first; equal scores by rising item key.

    Attributes:
        items: (B, K) int64, counted from 0; `NO_ITEM` where fewer than K may be recommended.
        scores: (B, K) float64; -inf where there is no item.
    """

    items: Tensor
    scores: Tensor


class Search(Protocol):
    """A way to find the best items; `index=` chooses one."""

    def top_k(self, encoded: Tensor, *, k: int, wanted: Wanted) -> TopK:
        """The best items of users.

        Args:
            encoded: (B, ...) from the model's `encode`.
            k: number of items for each.
            wanted: which items may come.

        Raises:
            ValueError: k is below 1, or a user is NaN.
        """


def checked_users(encoded: Tensor, *, k: int) -> Tensor:
    """The users, once what is asked of a search can be answered.

    Raises:
        ValueError: k is below 1, or a number of a user is not finite.
    """
    if k < 1:
        raise ValueError(f"k ({k}) must be at least 1")
    broken = ~encoded.flatten(1).isfinite().all(dim=1) if encoded.ndim > 1 else encoded.isnan()
    if broken.any():
        user = int(broken.nonzero()[0])
        raise ValueError(f"the vector of user {user} of the batch has a NaN or an infinity")
    return encoded
