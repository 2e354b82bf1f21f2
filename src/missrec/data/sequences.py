"""Samples (user, end) over flat interactions, cut into batches of ids without Python loops."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from missrec.types import PAD_ID, SequenceBatch

_SAMPLES_AT_ONCE = 2**20
"""Samples whose lengths are computed at a time: bounds the memory of what that needs."""


class SequenceDataset(Dataset[SequenceBatch]):
    """Turns an array of sample numbers into one `SequenceBatch`.

    A sample is the position of its target in the flat item array; its history is what the same
    user did before, cut to the most recent `max_seq_len` items. For items [4 7 5 | 9 2 6] of two
    users and targets at positions 1, 2 and 4, samples [1, 2] give

        item_ids [[4, 7], [9, 0]], target_ids [5, 2], user_ids [0, 1].
    """

    def __init__(
        self,
        *,
        items: np.ndarray,
        offsets: np.ndarray,
        targets: np.ndarray,
        max_seq_len: int,
        trim_padding: bool,
        num_targets: np.ndarray | None = None,
    ) -> None:
        """Keeps references to the arrays and computes the lengths.

        Args:
            items: (number of interactions,) int32 item ids, user after user, oldest first.
            offsets: (number of users + 1,) int64.
            targets: (S,) int32 or int64 positions in `items`, none the first of its user.
            max_seq_len: longest history, L.
            trim_padding: pad each batch to its longest history; otherwise to max_seq_len.
            num_targets: (S,) how many of the last items of a sample have the item after them as
                target, from `prefixes_together`; None: the last one, and targets are (B,).

        Raises:
            ValueError: a target has no history, or max_seq_len < 1.
        """
        if max_seq_len < 1:
            raise ValueError(f"max_seq_len ({max_seq_len}) must be at least 1")
        self._items = items
        self._offsets = offsets
        self._targets = targets
        self._num_targets = num_targets
        self._min_width = 0 if trim_padding else max_seq_len
        # int16 holds any usual length; with many samples the width of this array counts.
        dtype = np.result_type(np.int16, np.min_scalar_type(max_seq_len))
        self.lengths = np.empty(len(targets), dtype=dtype)
        for start in range(0, len(targets), _SAMPLES_AT_ONCE):
            block = slice(start, start + _SAMPLES_AT_ONCE)
            before = targets[block] - offsets[self._users(targets[block])]
            self.lengths[block] = np.minimum(before, max_seq_len)
        if len(targets) and self.lengths.min() < 1:
            sample = int(self.lengths.argmin())
            user = int(self._users(targets[sample]))
            raise ValueError(f"sample {sample} of user {user} has an empty history")

    @property
    def user_ids(self) -> np.ndarray:
        """(S,) int64, of each sample."""
        return self._users(self._targets)

    def _users(self, targets: np.ndarray) -> np.ndarray:
        """int64, whose the targets at these positions are."""
        return np.searchsorted(self._offsets, targets, side="right") - 1

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._targets)

    def __getitem__(self, samples: np.ndarray) -> SequenceBatch:
        """The batch of these samples, in their order, right-padded."""
        targets, lengths = self._targets[samples], self.lengths[samples]
        steps = np.arange(lengths.max(initial=self._min_width))
        valid = steps < lengths[:, None]  # (B, L)
        positions = np.where(valid, (targets - lengths)[:, None] + steps, 0)
        item_ids = np.where(valid, self._items[positions], PAD_ID)
        return SequenceBatch(
            user_ids=torch.from_numpy(self._users(targets)),
            item_ids=torch.from_numpy(item_ids.astype(np.int64)),
            target_ids=torch.from_numpy(self._target_ids(samples, positions, valid)),
        )

    def _target_ids(
        self, samples: np.ndarray, positions: np.ndarray, valid: np.ndarray
    ) -> np.ndarray:
        """(B,) or (B, L) int64, from the positions (B, L) of the valid items of the histories."""
        if self._num_targets is None:
            return np.asarray(self._items[self._targets[samples]], dtype=np.int64)
        first = self.lengths[samples] - self._num_targets[samples]
        asked = valid & (np.arange(valid.shape[1]) >= first[:, None])
        return np.where(asked, self._items[np.where(asked, positions + 1, 0)], PAD_ID).astype(
            np.int64
        )


class Together(NamedTuple):
    """Samples of which each stands for several prefixes of one user.

    Attributes:
        targets: (S,) position of the last target of each, in the dtype of all targets.
        counts: (S,) int64 how many targets end there, one behind the other.
    """

    targets: np.ndarray
    counts: np.ndarray


def prefixes_together(targets: np.ndarray, *, offsets: np.ndarray, max_seq_len: int) -> Together:
    """Targets that follow each other as one sample, as long as the whole history is read.

    A history longer than `max_seq_len` is cut and its items take other positions, so it stays a
    sample of its own: read to any of its items, it would not be what that prefix is.

    Args:
        targets: (T,) ascending positions in the flat items.
        offsets: (number of users + 1,) int64.
        max_seq_len: longest history, L.
    """
    users = np.searchsorted(offsets, targets, side="right") - 1
    whole = targets - offsets[users] <= max_seq_len
    is_first = np.ones(len(targets), dtype=bool)
    is_first[1:] = (np.diff(targets) != 1) | (np.diff(users) != 0) | ~whole[1:]
    ends = np.append(np.flatnonzero(is_first)[1:], len(targets))
    return Together(targets[ends - 1], np.diff(ends, prepend=0))
