"""Callbacks: interests at each epoch start, checkpoints inside an epoch, and the throughput."""

from __future__ import annotations

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping as LightningEarlyStopping

from missrec.nn.precision import full_precision
from missrec.training.saving import RunCheckpoint
from missrec.types import DiscoversInterests, SequenceBatch


class RefreshInterests(Callback):
    """Clusters the item tokens again before a training epoch (MISSRec 3.3.1).

    Does nothing for a model without interests. Logs `interests/live`, `interests/drift` and
    `interests/refresh_sec`.
    """

    def __init__(self, *, every_n_epochs: int) -> None:
        """Refreshes before epochs 0, n, 2n, ...

        Args:
            every_n_epochs: n; the paper's is 1.

        Raises:
            ValueError: every_n_epochs < 1.
        """
        if every_n_epochs < 1:
            raise ValueError(f"every_n_epochs ({every_n_epochs}) must be at least 1")
        self._every_n_epochs = every_n_epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refreshes and logs."""
        model = pl_module.model
        if trainer.current_epoch % self._every_n_epochs or not isinstance(
            model, DiscoversInterests
        ):
            return
        start = time.perf_counter()
        with full_precision(pl_module.device.type):
            report = model.refresh_interests()
        elapsed = time.perf_counter() - start
        pl_module.log_dict(
            {
                "interests/live": float(report.num_live),
                "interests/drift": report.drift,
                "interests/refresh_sec": elapsed,
            },
            on_epoch=True,
            on_step=False,
            batch_size=1,
        )


class EarlyStopping(LightningEarlyStopping):
    """Lightning's, but a resumed run has the patience that its settings say, not its checkpoint."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up how long it has waited."""
        super().load_state_dict({**state_dict, "patience": self.patience})


class MidEpochCheckpoint(RunCheckpoint):
    """A `RunCheckpoint` that saves only where a run can be resumed exactly: after a batch.

    **Differs**: not after the last batch of an epoch, because the trainer would resume behind the
    validation of that epoch, and not between two batches whose gradients are added up. What is
    due then by time comes with the next batch.
    """

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: SequenceBatch,
        batch_idx: int,
    ) -> None:
        """Saves if it is time."""
        accumulates = (batch_idx + 1) % trainer.accumulate_grad_batches
        if not trainer.is_last_batch and not accumulates:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class Throughput(Callback):
    """Logs `train/sequences_per_sec` of each epoch, without the validation.

    Of an epoch that was resumed in the middle, it is the rate of the rest.
    """

    def __init__(self) -> None:
        """Starts at zero."""
        self._num_sequences = 0
        self._start = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock of an epoch resumed in the middle: no start of it is announced."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._num_sequences = 0
        self._start = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: SequenceBatch,
        batch_idx: int,
    ) -> None:
        """Counts; on the last batch, before any validation, logs."""
        self._num_sequences += len(batch.user_ids)
        if trainer.is_last_batch:
            elapsed = time.perf_counter() - self._start
            rate = self._num_sequences / elapsed
            pl_module.log(
                "train/sequences_per_sec", rate, on_step=False, on_epoch=True, batch_size=1
            )
            pl_module.log("seq/s", rate, on_step=True, prog_bar=True, logger=False, batch_size=1)
