"""All interactions are trained on."""

from __future__ import annotations

import numpy as np

from missrec.data.splits.splitter import Split, train_targets


class NothingHeldOut:
    """Every item of a user but the first is a training target; nobody validates or tests.

    For the model that goes into production, once another run has chosen its settings.
    """

    needs_times = False

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """No user is in validation or test; see `Splitter`."""
        nobody = np.empty(0, dtype=np.int64)
        ends = offsets[1:]
        return Split(train_targets(offsets, ends), nobody, nobody, ends)
