"""The progress bar of a training, in a terminal of 80 columns."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import (
    CustomBarColumn,
    ProcessingSpeedColumn,
)

_BAR_WIDTH = 10
_HIDDEN = ("v_num", "seq/s")
"""The first is a logger's count of versions; the second goes to the loggers."""


class ProgressBar(RichProgressBar):
    """Lightning's, without what no user reads.

    **Differs**: a bar of ten columns, and the loss and the metric of validation beside it alone.
    """

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Those of Lightning without the speed, the bar a short one."""
        columns = super().configure_columns(trainer)
        for column in columns:
            if isinstance(column, CustomBarColumn):
                column.bar_width = _BAR_WIDTH
        return [column for column in columns if not isinstance(column, ProcessingSpeedColumn)]

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands beside the bar."""
        shown = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in shown.items() if name not in _HIDDEN}
