"""The LightningDataModule: domain folders in, `SequenceBatch` of ids out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Sampler

from missrec.data.batching import LengthBucketSampler, SortedSampler, TargetBucketSampler
from missrec.data.loader import ResumableLoader, check_shared_memory
from missrec.data.parts import PURPOSES
from missrec.data.sequences import SequenceDataset, prefixes_together
from missrec.data.split_domains import SplitDomains
from missrec.data.splits import AnySplitter, SplitError
from missrec.distributed import num_processes, process_index
from missrec.types import SequenceBatch

_NUMBERS_BESIDE = 2
"""Of a user in a batch beside the history: who it is, and the target."""


class SequenceDataModule(LightningDataModule):
    """Sequences of one or several domains, split for training, validation and test.

    Training mixes all domains in each batch; validation and test give one loader per domain, so
    that the items of one domain never rank against another's. Of several processes all get the
    same training batches, to compute a share of the rows each, and a share of the evaluation
    batches.
    """

    def __init__(
        self,
        *,
        folders: Sequence[str],
        split: AnySplitter,
        prefixes: bool,
        repeats: int,
        max_seq_len: int,
        mixing_exponent: float,
        batch_size: int,
        eval_batch_size: int,
        pool_batches: int,
        trim_padding: bool,
        num_workers: int,
        pin_memory: bool,
        seed: int,
        together: bool = False,
        balanced: bool = False,
    ) -> None:
        """Keeps the settings; `setup` reads the folders.

        Args:
            folders: prepared domain folders.
            split: which interactions are trained on, validated on and tested on.
            prefixes: every prefix of a training sequence is a sample, as the paper; otherwise the
                whole sequence alone, for models that learn from each of its positions.
            repeats: how often every sample comes in an epoch, for models that draw what they
                learn from it anew each time; at least 1.
            max_seq_len: longest history, L (MISSRec 4.2.1: 50).
            mixing_exponent: share of the domains in training, see `LengthBucketSampler`.
            batch_size: training samples a batch, over all processes.
            eval_batch_size: users a batch of one process in validation and test.
            pool_batches: see `LengthBucketSampler`.
            trim_padding: pad a training batch to its longest history rather than to max_seq_len.
            num_workers: loader processes; the batches do not depend on it.
            pin_memory: copy batches into pinned memory, for GPUs.
            seed: of the order of the training batches.
            together: the prefixes of a user are read in one pass, see `prefixes_together`, and
                batch_size counts targets; with prefixes alone.
            balanced: batches have as many items each, on average those of batch_size sequences, see
                `TargetBucketSampler`; with whole sequences alone.

        Raises:
            ValueError: repeats is below 1, or `together` or `balanced` does not go with the other
                settings.
        """
        if together and not (prefixes and mixing_exponent == 1):
            raise ValueError(
                "samples=prefixes_together takes every prefix once an epoch: samples.prefixes must "
                f"be true, and is {str(prefixes).lower()}, and datamodule.mixing_exponent 1, "
                f"and is {mixing_exponent:g}"
            )
        if balanced and (prefixes or mixing_exponent != 1):
            raise ValueError(
                "samples.balanced=true takes every whole sequence once an epoch: samples.prefixes "
                f"must be false, and is {str(prefixes).lower()}, and datamodule.mixing_exponent 1, "
                f"and is {mixing_exponent:g}; samples.balanced=false goes with others"
            )
        if repeats < 1:
            raise ValueError(f"repeats ({repeats}) must be at least 1")
        super().__init__()
        self._folders = [Path(folder) for folder in folders]
        self._splitter = split
        self._prefixes = prefixes
        self._repeats = repeats
        self._max_seq_len = max_seq_len
        self._mixing_exponent = mixing_exponent
        self._batch_size = batch_size
        self._eval_batch_size = eval_batch_size
        self._pool_batches = pool_batches
        self._trim_padding = trim_padding
        self._num_workers = num_workers
        self._pin_memory = pin_memory
        self._seed = seed
        self._together = together
        self._balanced = balanced
        self._domains: SplitDomains | None = None

    def setup(self, stage: str | None = None) -> None:
        """Reads and checks the domain folders, once.

        Raises:
            FileNotFoundError, ValueError: see `SplitDomains`.
        """
        if self._domains is None:
            self._domains = SplitDomains(self._folders, self._splitter)

    @property
    def domains(self) -> SplitDomains:
        """What was read, and how it is split."""
        if self._domains is None:
            raise RuntimeError("the DataModule holds no data before setup()")
        return self._domains

    def train_dataloader(self) -> DataLoader[SequenceBatch]:
        """Batches of similar length, all domains mixed."""
        split = self.domains.split
        targets = split.train if self._prefixes else self._ends(split.train_ends)
        counts = None
        if self._together:
            targets, counts = prefixes_together(
                targets, offsets=self.domains.mixed.offsets, max_seq_len=self._max_seq_len
            )
        if self._repeats > 1:  # a copy of millions of samples for nothing otherwise
            targets = np.repeat(targets, self._repeats)
            counts = None if counts is None else np.repeat(counts, self._repeats)
        dataset = self._dataset(targets, trim_padding=self._trim_padding, num_targets=counts)
        if len(dataset) == 0:
            raise ValueError(
                f"{self._folders[0]}: no user has two interactions before those held out, so there "
                "is nothing to train on"
            )
        return self._loader(dataset, self._sampler(dataset, targets, counts), ResumableLoader)

    def val_dataloader(self) -> list[DataLoader[SequenceBatch]]:
        """One loader per domain; of the batches of all users those of this process."""
        return self._evaluation_loaders("val")

    def test_dataloader(self) -> list[DataLoader[SequenceBatch]]:
        """One loader per domain; of the batches of all users those of this process."""
        return self._evaluation_loaders("test")

    def _sampler(
        self, dataset: SequenceDataset, targets: np.ndarray, counts: np.ndarray | None
    ) -> LengthBucketSampler:
        kind: Callable[..., LengthBucketSampler]
        batch_size = self._batch_size
        if self._balanced:
            counts = dataset.lengths.astype(np.int64)
            batch_size = round(batch_size * counts.mean())
        if counts is None:
            kind = partial(LengthBucketSampler, mixing_exponent=self._mixing_exponent)
        else:
            kind = partial(TargetBucketSampler, counts=counts)
        return kind(
            lengths=dataset.lengths,
            first_samples=self._bounds(targets)[:-1],
            batch_size=batch_size,
            pool_batches=self._pool_batches,
            seed=self._seed,
        )

    def _ends(self, train_ends: np.ndarray) -> np.ndarray:
        """Positions of the last training targets of the users who have any."""
        ends: np.ndarray = train_ends[train_ends - self.domains.mixed.offsets[:-1] >= 2] - 1
        return ends

    def _bounds(self, targets: np.ndarray) -> np.ndarray:
        """(number of domains + 1,) where each domain starts in ascending positions."""
        first_positions = self.domains.mixed.offsets[self.domains.mixed.first_users]
        return np.asarray(np.searchsorted(targets, first_positions))

    def _evaluation_loaders(self, part: str) -> list[DataLoader[SequenceBatch]]:
        if not self.domains.holds_out:
            return []
        targets: np.ndarray = getattr(self.domains.split, part)
        bounds = self._bounds(targets)
        for folder, size in zip(self._folders, np.diff(bounds), strict=True):
            if not size:
                raise SplitError(f"{folder}: the split leaves no user to {PURPOSES[part]}")
        datasets = [
            self._dataset(targets[first:last], trim_padding=True)
            for first, last in pairwise(bounds.tolist())
        ]
        return [
            self._loader(
                dataset,
                SortedSampler(
                    lengths=dataset.lengths,
                    batch_size=self._eval_batch_size,
                    process_index=process_index(),
                    num_processes=num_processes(),
                ),
                DataLoader,
            )
            for dataset in datasets
        ]

    def _dataset(
        self, targets: np.ndarray, *, trim_padding: bool, num_targets: np.ndarray | None = None
    ) -> SequenceDataset:
        return SequenceDataset(
            items=self.domains.mixed.items,
            offsets=self.domains.mixed.offsets,
            targets=targets,
            max_seq_len=self._max_seq_len,
            trim_padding=trim_padding,
            num_targets=num_targets,
        )

    def _loader(
        self,
        dataset: SequenceDataset,
        sampler: Sampler[np.ndarray],
        kind: type[DataLoader[SequenceBatch]],
    ) -> DataLoader[SequenceBatch]:
        if self._num_workers:
            most_users = max(self._batch_size, self._eval_batch_size)
            numbers = most_users * (self._max_seq_len + _NUMBERS_BESIDE)
            check_shared_memory(num_workers=self._num_workers, batch_bytes=8 * numbers)
        # batch_size=None: the sampler yields whole batches, and the dataset cuts each at once.
        return kind(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=self._num_workers,
            pin_memory=self._pin_memory,
            persistent_workers=self._num_workers > 0,
            # Its own, or each iteration would draw a seed from the numbers of the dropout.
            generator=torch.Generator(),
        )
