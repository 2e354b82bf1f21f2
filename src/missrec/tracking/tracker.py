"""What a run shows beside its curves, and the trackers that it shows it in."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import polars as pl
from pytorch_lightning import Trainer


class Artifact(NamedTuple):
    """Files that belong together.

    Attributes:
        name: of it; the same name again is a new version.
        kind: `domain` or `model`.
        files: name inside of it -> the file.
        aliases: names of this version, such as `best`.
    """

    name: str
    kind: str
    files: Mapping[str, Path]
    aliases: tuple[str, ...] = ()


@runtime_checkable
class Tracker(Protocol):
    """A logger of Lightning that also takes tables, pictures and files, and has an end.

    What it cannot do costs no run: a tracker whose server is gone says so once.
    """

    def show_table(self, key: str, table: pl.DataFrame) -> None:
        """Shows a table of numbers and texts; the newest of a key such as `test/buckets` counts."""

    def show_figure(self, key: str, path: Path) -> None:
        """Shows a PNG, which may be gone afterwards."""

    def keep(self, artifact: Artifact) -> None:
        """Keeps files, which stay where they are."""

    def end(self, *, failed: bool) -> None:
        """Ends the run there; after that the process may start another one."""


def trackers(trainer: Trainer) -> list[Tracker]:
    """Those among the loggers; of several processes the first one alone has any."""
    return [logger for logger in trainer.loggers if isinstance(logger, Tracker)]


@contextmanager
def logging_to(trainer: Trainer, settings: dict[str, Any]) -> Iterator[None]:
    """Logs the settings; ends the loggers with the block: the next job of a sweep has its own."""
    try:
        for logger in trainer.loggers:
            logger.log_hyperparams(settings)
        yield
    finally:
        failed = sys.exc_info()[0] is not None
        for logger in trainer.loggers:
            logger.finalize("failed" if failed else "success")
        for tracker in trackers(trainer):
            tracker.end(failed=failed)
