"""Batches of samples of similar length, in an order that only the seed and the epoch decide."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class LengthBucketSampler(Sampler[np.ndarray]):
    """Yields arrays of sample numbers, one array a batch.

    Every epoch draws as many samples as there are, in random order, cuts them into pools of
    `pool_batches` batches, sorts each pool by length, cuts it into batches and shuffles the batches
    of all pools. So a batch holds sequences of similar length and little padding, and its
    composition still changes.

    A domain of n samples gets a share of the epoch proportional to n ** mixing_exponent: at 1
    every sample comes once, at 0 every domain comes equally often. Where the share is more than n,
    all samples come once before any comes again.
    """

    def __init__(
        self,
        *,
        lengths: np.ndarray,
        first_samples: np.ndarray,
        mixing_exponent: float,
        batch_size: int,
        pool_batches: int,
        seed: int,
    ) -> None:
        """Keeps the lengths; each epoch draws its own order.

        Args:
            lengths: (S,) history length of each sample.
            first_samples: (number of domains,) where each domain starts in `lengths`.
            mixing_exponent: in [0, 1].
            batch_size: samples a batch; the last batch of an epoch may be smaller.
            pool_batches: batches a pool; 1 leaves batches of mixed length.
            seed: of the order; the same seed and epoch give the same batches.

        Raises:
            ValueError: batch_size or pool_batches is below 1, or mixing_exponent outside [0, 1].
        """
        if not 0 <= mixing_exponent <= 1:
            raise ValueError(f"mixing_exponent ({mixing_exponent}) must be in [0, 1]")
        if batch_size < 1 or pool_batches < 1:
            raise ValueError(
                f"batch_size ({batch_size}) and pool_batches ({pool_batches}) must be at least 1"
            )
        self._lengths = lengths
        self._first_samples = first_samples
        self._sizes = np.diff(first_samples, append=len(lengths))
        self._counts = _tempered_counts(self._sizes, exponent=mixing_exponent)
        self._batch_size = batch_size
        self._pool_size = batch_size * pool_batches
        self._seed = seed
        self._epoch = 0
        self._first_batch = 0

    @property
    def epoch(self) -> int:
        """Whose order the next iteration has."""
        return self._epoch

    @property
    def first_batch(self) -> int:
        """Where in that order the next iteration starts; above 0 only after `resume`."""
        return self._first_batch

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration; the trainer calls this before each epoch."""
        if epoch != self._epoch:
            self._epoch, self._first_batch = epoch, 0

    def resume(self, *, epoch: int, first_batch: int) -> None:
        """Leaves out the batches of this one epoch that a stopped run has already seen."""
        self._epoch, self._first_batch = epoch, first_batch

    def __len__(self) -> int:
        """Number of batches of a whole epoch, also of a resumed one."""
        return math.ceil(len(self._lengths) / self._batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The batches of the current epoch, from `first_batch` on."""
        generator = np.random.default_rng([self._seed, self._epoch])
        order = self._draw(generator)
        for start in range(0, len(order), self._pool_size):
            pool = order[start : start + self._pool_size]
            pool[:] = pool[np.argsort(self._lengths[pool], kind="stable")]
        starts = generator.permutation(np.arange(0, len(order), self._batch_size))
        for start in starts[self._first_batch :]:
            yield order[start : start + self._batch_size]

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        """(S,) the samples of an epoch, in random order; int32 where that holds them all."""
        fits = len(self._lengths) <= np.iinfo(np.int32).max
        drawn = np.arange(len(self._lengths), dtype=np.int32 if fits else np.int64)
        if not np.array_equal(self._counts, self._sizes):
            chosen = [  # a domain without samples has nothing to draw
                first + generator.permutation(size)[: count - done]
                for first, size, count in zip(
                    self._first_samples, self._sizes, self._counts, strict=True
                )
                if size
                for done in range(0, count, size)
            ]
            drawn = np.concatenate(chosen).astype(drawn.dtype)
        generator.shuffle(drawn)
        return drawn


def _tempered_counts(sizes: np.ndarray, *, exponent: float) -> np.ndarray:
    """(number of domains,) int64, draws from each in an epoch; they add up to `sizes.sum()`."""
    weights = np.where(sizes > 0, np.power(sizes, exponent, dtype=np.float64), 0)
    # Rounding the sums rather than the shares keeps the total; without samples both are 0.
    ends = np.rint(np.cumsum(weights) / max(weights.sum(), 1) * sizes.sum()).astype(np.int64)
    return np.diff(ends, prepend=0)


class TargetBucketSampler(LengthBucketSampler):
    """As `LengthBucketSampler`, for samples with several targets: all batches have about as many.

    So the mean over a batch counts every target alike, whatever the lengths of its sequences. An
    epoch has as many batches as if every target were a sample.
    """

    def __init__(
        self,
        *,
        lengths: np.ndarray,
        counts: np.ndarray,
        first_samples: np.ndarray,
        batch_size: int,
        pool_batches: int,
        seed: int,
    ) -> None:
        """Keeps the lengths; each epoch draws its own order.

        Args:
            lengths: (S,) history length of each sample.
            counts: (S,) int64 targets of each sample, at least 1.
            first_samples: see `LengthBucketSampler`.
            batch_size: targets a batch, on average; a sample is never cut, so one with more of them
                is a batch.
            pool_batches: see `LengthBucketSampler`.
            seed: see `LengthBucketSampler`.

        Raises:
            ValueError: batch_size or pool_batches is below 1.
        """
        super().__init__(
            lengths=lengths,
            first_samples=first_samples,
            mixing_exponent=1.0,
            batch_size=batch_size,
            pool_batches=pool_batches,
            seed=seed,
        )
        self._targets = counts
        self._pool_batches = pool_batches
        total, most = int(counts.sum()), int(counts.max(initial=1))
        # With fewer targets on average than a sample may have, there could be an empty batch.
        self._num_batches = max(1, min(math.ceil(total / batch_size), total // most))

    def __len__(self) -> int:
        """Number of batches of a whole epoch, also of a resumed one."""
        return self._num_batches

    def __iter__(self) -> Iterator[np.ndarray]:
        """The batches of the current epoch, from `first_batch` on."""
        generator = np.random.default_rng([self._seed, self._epoch])
        order = self._draw(generator)
        pool = self._places(order) // self._pool_batches
        order = order[np.lexsort((self._lengths[order], pool))]
        bounds = np.searchsorted(self._places(order), np.arange(self._num_batches + 1))
        for batch in generator.permutation(self._num_batches)[self._first_batch :]:
            yield order[bounds[batch] : bounds[batch + 1]]

    def _places(self, order: np.ndarray) -> np.ndarray:
        """(S,) ascending, the batch of each sample in this order."""
        targets = self._targets[order]
        before = targets.cumsum() - targets
        return np.asarray(before * self._num_batches // max(1, int(targets.sum())))


class SortedSampler(Sampler[np.ndarray]):
    """Yields every sample once, longest histories first: for evaluation.

    The longest batch comes first, so a lack of memory shows at once. Several processes deal the
    batches out, whole, so that a sample is encoded among the same others whatever their number.
    """

    def __init__(
        self, *, lengths: np.ndarray, batch_size: int, process_index: int, num_processes: int
    ) -> None:
        """Fixes the order.

        Args:
            lengths: (S,) history length of each sample.
            batch_size: samples a batch; the last one may be smaller.
            process_index: which of the processes this is.
            num_processes: each takes every n-th batch; one for which there is none takes the
                first too, because a trainer leaves out the evaluation, and the meeting at its end,
                where there is no batch.

        Raises:
            ValueError: batch_size is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"eval_batch_size ({batch_size}) must be at least 1")
        self._order = np.argsort(-lengths, kind="stable")
        self._batch_size = batch_size
        starts = range(0, len(lengths), batch_size)
        self._starts = starts[process_index::num_processes] or starts[:1]

    def __len__(self) -> int:
        """Number of batches of this process."""
        return len(self._starts)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The batches of this process in order."""
        for start in self._starts:
            yield self._order[start : start + self._batch_size]
