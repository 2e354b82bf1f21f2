"""Samples (user, end) over flat interactions, cut into batches of ids without Python loops."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from missrec.types import PAD_ID, SequenceBatch


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
    ) -> None:
        """Keeps references to the arrays; nothing is copied.

        Args:
            items: (number of interactions,) int32 item ids, user after user, oldest first.
            offsets: (number of users + 1,) int64.
            targets: (S,) int64 positions in `items`, none the first of its user.
            max_seq_len: longest history, L.
            trim_padding: pad each batch to its longest history; otherwise to max_seq_len.

        Raises:
            ValueError: a target has no history, or max_seq_len < 1.
        """
        if max_seq_len < 1:
            raise ValueError(f"max_seq_len ({max_seq_len}) must be at least 1")
        self._items = items
        self._offsets = offsets
        self._targets = targets
        self._min_width = 0 if trim_padding else max_seq_len
        self._users = (np.searchsorted(offsets, targets, side="right") - 1).astype(np.int32)
        self.lengths = np.minimum(targets - offsets[self._users], max_seq_len).astype(np.int32)
        if len(targets) and self.lengths.min() < 1:
            sample = int(self.lengths.argmin())
            raise ValueError(f"sample {sample} of user {self._users[sample]} has an empty history")

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
            user_ids=torch.from_numpy(self._users[samples].astype(np.int64)),
            item_ids=torch.from_numpy(item_ids.astype(np.int64)),
            target_ids=torch.from_numpy(self._items[targets].astype(np.int64)),
        )
