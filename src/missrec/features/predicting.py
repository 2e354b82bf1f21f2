"""A bar over what Lightning's predict does, for any loop of it."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.progress import Progress

from missrec.features.progress import items_progress


class PredictProgress(Callback):
    """A bar over the work of all processes, drawn by the first; a subclass says how far it is."""

    def __init__(self) -> None:
        """Starts without a bar, which cannot travel to another process."""
        self._progress: Progress | None = None

    def start(self, trainer: Trainer, description: str, *, total: int) -> None:
        """Draws the bar."""
        self._progress = items_progress(shown=trainer.is_global_zero)
        self._progress.add_task(description, total=total)
        self._progress.start()

    def move(self, *, completed: int) -> None:
        """Moves it to what all have done."""
        if self._progress is not None:
            (task,) = self._progress.task_ids
            self._progress.update(task, completed=completed)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the bar as it stands."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Gives the terminal back."""
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
