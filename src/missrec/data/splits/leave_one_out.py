"""The last item of each user is tested, the last but one validated."""

from __future__ import annotations

import numpy as np

from missrec.data.splits.splitter import Split, train_targets


class LeaveOneOut:
    """The last item of each user is the test target, the last but one the validation target.

    Training targets are all items before those, except the first, which has no history: every
    prefix is a sample. The validation item is part of the test history (MISSRec 4.2.1, as
    UniSRec).
    """

    needs_times = False

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """Every user is in validation and test; see `Splitter`."""
        ends = offsets[1:]
        held_out = ends - 2
        return Split(train_targets(offsets, held_out), held_out, ends - 1, held_out)
