"""Curves, tables and pictures as events of TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from missrec.tracking.tracker import Artifact


class TensorBoardTracker(TensorBoardLogger):
    """Lightning's, with tables as texts, pictures as images, and where files lie as texts.

    All of it stands at the step that was logged last.
    """

    _step = 0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds to the curves."""
        super().log_metrics(dict(metrics), step)
        self._step = self._step if step is None else step

    def show_table(self, key: str, table: pl.DataFrame) -> None:
        """A table in Markdown under Text."""
        rows = [table.columns, ["---"] * table.width, *table.rows()]
        self.experiment.add_text(key, "\n".join(map(_line, rows)), self._step)

    def show_figure(self, key: str, path: Path) -> None:
        """Under Images."""
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))  # (H, W, 3)
        self.experiment.add_image(key, pixels, self._step, dataformats="HWC")

    def keep(self, artifact: Artifact) -> None:
        """Where its files lie, under Text: TensorBoard keeps none."""
        rows = [{"file": name, "place": str(path)} for name, path in artifact.files.items()]
        self.show_table(f"artifacts/{artifact.name}", pl.DataFrame(rows))

    def end(self, *, failed: bool) -> None:
        """Nothing: Lightning has closed the file."""


def _line(cells: Iterable[object]) -> str:
    shown = (" ".join(str(cell).replace("|", r"\|").split()) for cell in cells)
    return f"| {' | '.join(shown)} |"
