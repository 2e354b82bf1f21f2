"""The loader of training batches, which can start inside an epoch."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import DataLoader

from missrec.data.batching import LengthBucketSampler
from missrec.types import SequenceBatch


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
