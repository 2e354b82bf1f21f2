"""Encoding by Lightning's predict: batches of inputs to shards on disk, on any devices."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, Subset

from missrec.features.encoders.encoder import ENCODED, Encoder, Loaded
from missrec.features.predicting import PredictProgress
from missrec.features.shards import Shard, write_shard


class NonFiniteError(ValueError):
    """A feature is too large for the numbers it is kept in, or none at all."""


class EncodingBatch(NamedTuple):
    """Inputs on their way to the encoder, with the sha256 of each."""

    digests: list[str]
    loaded: Loaded


class InputBatches(Dataset[EncodingBatch]):
    """Inputs cut into batches, each loaded when it is asked for."""

    def __init__(
        self, inputs: pl.DataFrame, *, encoder: Encoder, modality: str, batch_size: int
    ) -> None:
        """Keeps the inputs.

        Args:
            inputs: `input` (a text, or the path of an image) and its `sha256`.
            encoder: what loads them.
            modality: of the inputs.
            batch_size: inputs a batch.

        Raises:
            ValueError: batch_size < 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size ({batch_size}) must be at least 1")
        self._batches = [
            (part["sha256"].to_list(), part["input"].to_list())
            for part in inputs.iter_slices(batch_size)
        ]
        self._encoder = encoder
        self._modality = modality

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def __getitem__(self, index: int) -> EncodingBatch:
        """Loads one batch."""
        digests, inputs = self._batches[index]
        return EncodingBatch(digests, self._encoder.load(self._modality, inputs))


class EncodingModule(LightningModule):
    """Encodes the batches of its rank; a rank may have none."""

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self, *, encoder: Encoder, modality: str, batches: InputBatches, num_workers: int
    ) -> None:
        """Takes the encoder in, and with it to the device."""
        super().__init__()
        self._encoder = encoder
        self._modality = modality
        self._batches = batches
        self._num_workers = num_workers

    def setup(self, stage: str) -> None:
        """Silences, also in a process that was spawned, what no user could change."""
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*persistent_workers.*")

    def predict_dataloader(self) -> DataLoader[EncodingBatch]:
        """Every world_size-th batch."""
        mine = range(self.trainer.global_rank, len(self._batches), self.trainer.world_size)
        return DataLoader(
            Subset(self._batches, mine), batch_size=None, num_workers=self._num_workers
        )

    def predict_step(self, batch: EncodingBatch) -> Tensor:
        """(B, F) features."""
        return self._encoder.encode(self._modality, batch.loaded.values)

    def teardown(self, stage: str) -> None:
        """Leaves the other ranks; a spawned process that ends with gloo's threads may abort."""
        if distributed.is_initialized():
            distributed.destroy_process_group()


class ShardWriter(Callback):
    """Writes each batch as a shard as soon as it is encoded."""

    def __init__(self, folder: Path, *, dtype: str) -> None:
        """Keeps where to and as what: `float16` or `float32`."""
        self._folder = folder
        self._dtype = dtype

    def on_predict_batch_end(  # noqa: PLR0917 - Lightning's signature
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Writes the batch.

        Raises:
            NonFiniteError: a feature is not a finite number of the dtype.
        """
        outcomes = np.array(batch.loaded.outcomes)
        values = outputs.float().cpu().numpy()
        values[~np.isin(outcomes, ENCODED)] = 0
        with np.errstate(over="ignore"):  # told below
            values = values.astype(self._dtype)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise NonFiniteError(
                f"the features of the input with sha256 {batch.digests[bad[0]]} are not finite as "
                f"{self._dtype} ({len(bad)} such inputs in its batch)"
            )
        write_shard(self._folder, Shard(np.array(batch.digests), outcomes, values))


class EncodingProgress(PredictProgress):
    """A bar over the items of all ranks, drawn by the first, which stands for them."""

    def __init__(self, description: str, *, num_items: int) -> None:
        """Keeps what to write beside the bar and where it ends."""
        super().__init__()
        self._description = description
        self._num_items = num_items
        self._num_done = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the bar."""
        self.start(trainer, self._description, total=self._num_items)

    def on_predict_batch_end(  # noqa: PLR0917 - Lightning's signature
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Moves the bar; another rank's last batch may be smaller, or missing."""
        self._num_done += len(batch.digests) * trainer.world_size
        self.move(completed=min(self._num_done, self._num_items))
