"""The last share of each user's interactions is held out."""

from __future__ import annotations

import numpy as np

from missrec.data.splits.splitter import Split, check_shares, first_of_users, train_targets


class Ratio:
    """The first 80 %, say, of each user's interactions are trained on, the rest is held out.

    The next share of them is for validation, the last one for the test; the target of a user is
    the first interaction of each part, with all before it as history. Of a user with few
    interactions one is tested and one validated, as long as one is left to train on (RecBole's
    ratio split, grouped by user and ordered by time).

    **Differs** from RecBole's, which ranks every interaction of a part: here each user counts once.
    """

    needs_times = False

    def __init__(self, *, val: float, test: float) -> None:
        """Keeps the shares.

        Args:
            val: of each user's interactions, rounded down.
            test: of them, rounded down; val > 0, test > 0, val + test < 1.

        Raises:
            ValueError: the shares are out of range.
        """
        check_shares(val=val, test=test)
        self._val, self._test = val, test

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """A user without an interaction for validation is left out of it; see `Splitter`."""
        starts, ends = offsets[:-1], offsets[1:]
        lengths = np.diff(offsets)
        num_test, num_val = (_share(lengths, share) for share in (self._test, self._val))
        num_train = lengths - num_test - num_val
        for held_out in (num_test, num_val):
            is_missing = (held_out == 0) & (num_train > 1)
            held_out[is_missing] += 1
            num_train[is_missing] -= 1
        train_ends = starts + num_train
        test_starts = ends - num_test
        return Split(
            train_targets(offsets, train_ends),
            first_of_users(train_ends[num_val > 0], offsets),
            first_of_users(test_starts[num_test > 0], offsets),
            train_ends,
        )


def _share(lengths: np.ndarray, share: float) -> np.ndarray:
    # 0.29 * 100 is a little less than 29.
    counts: np.ndarray = np.floor(lengths * share + 1e-9).astype(np.int64)
    return counts
