"""Curves, tables and pictures as files in the run folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
from pytorch_lightning.loggers import CSVLogger

from missrec.files import write_text
from missrec.tracking.tracker import Artifact


class CSVTracker(CSVLogger):
    """Lightning's, with `<key>.csv` and `<key>.png` beside its `metrics.csv`."""

    def show_table(self, key: str, table: pl.DataFrame) -> None:
        """Writes `<key>.csv`."""
        write_text(self._place(f"{key}.csv"), table.write_csv())

    def show_figure(self, key: str, path: Path) -> None:
        """Copies it to `<key>.png`."""
        shutil.copyfile(path, self._place(f"{key}.png"))

    def keep(self, artifact: Artifact) -> None:
        """Nothing: they lie in the folders of the run and of its data."""

    def end(self, *, failed: bool) -> None:
        """Nothing: files have no end."""

    def _place(self, name: str) -> Path:
        place = Path(self.log_dir) / name
        place.parent.mkdir(parents=True, exist_ok=True)
        return place
