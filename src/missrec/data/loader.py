"""The loader of training batches, which can start inside an epoch, and what its workers need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from torch.utils.data import DataLoader

from missrec.data.batching import LengthBucketSampler
from missrec.types import SequenceBatch

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where Linux has it
_FETCHED_AHEAD = 2
"""Batches of each worker, as torch has it by default."""


def check_shared_memory(*, num_workers: int, batch_bytes: int) -> None:
    """Refuses workers whose batches do not fit the shared memory: torch would wait for ever.

    Args:
        num_workers: of a loader, 1 or more.
        batch_bytes: of the largest batch.

    Raises:
        ValueError: there is less than they fetch ahead.
    """
    if not _SHARED_MEMORY.is_dir():
        return
    there = os.statvfs(_SHARED_MEMORY)
    free, needed = there.f_bavail * there.f_frsize, _FETCHED_AHEAD * num_workers * batch_bytes
    if free < needed:
        raise ValueError(
            f"num_workers ({num_workers}): {_SHARED_MEMORY} has {free:,} bytes free, and the "
            f"batches that workers fetch ahead take up to {needed:,}; make it larger, or take 0"
        )


class ResumableLoader(DataLoader[SequenceBatch]):
    """A DataLoader over a `LengthBucketSampler` whose state is how far it has come.

    The trainer saves the state of a loader that has `state_dict` in every checkpoint, and gives it
    back when that checkpoint lies inside an epoch.
    """

    sampler: LengthBucketSampler
    _num_given = 0

    def __iter__(self) -> Iterator[SequenceBatch]:  # type: ignore[override]  # a generator, see below
        """The batches of the sampler's epoch."""
        # The trainer asks for an iterator before it sets the epoch. A generator lets the workers
        # fetch ahead only once the first batch is wanted, when the epoch is known.
        self._num_given = self.sampler.first_batch
        for batch in super().__iter__():
            self._num_given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and the number of its batches given so far; not those fetched ahead."""
        return {"epoch": self.sampler.epoch, "num_batches": self._num_given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration go on after the batches that the state counts."""
        self.sampler.resume(epoch=state["epoch"], first_batch=state["num_batches"])
