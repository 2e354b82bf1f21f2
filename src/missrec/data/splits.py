"""Which positions of the sequences are trained on, validated on and tested on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Positions, in the flat item array, of the targets of each part.

    A target at position p of a user has the user's items before p as history.

    Attributes:
        train: (S,) int32 where that holds every position, else int64; one per training sample,
            none of users with three interactions.
        val: (U,) int64, one per user.
        test: (U,) int64, one per user.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def leave_one_out(offsets: np.ndarray) -> Split:
    """The last item of each user is the test target, the last but one the validation target.

    Training targets are all items before those, except the first, which has no history: every
    prefix is a sample. The validation item is part of the test history (MISSRec 4.2.1, as
    UniSRec).

    Args:
        offsets: (U + 1,) int64; user u owns positions offsets[u]..offsets[u + 1] - 1, at least 3.
    """
    starts, ends = offsets[:-1], offsets[1:]
    is_train = np.ones(int(offsets[-1]), dtype=bool)
    is_train[starts] = is_train[ends - 1] = is_train[ends - 2] = False
    # Half the memory as long as int32 holds every position.
    fits = len(is_train) <= np.iinfo(np.int32).max
    positions = np.arange(len(is_train), dtype=np.int32 if fits else np.int64)
    return Split(train=positions[is_train], val=ends - 2, test=ends - 1)
