"""What a Hydra multirun shows when its last job is done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from missrec.reporting.tables import print_metrics


class SweepTable(Callback):
    """Prints one row for each finished job of a multirun, from its `metrics.json`."""

    def __init__(self, *, keys: Sequence[str]) -> None:
        """Shows these metrics, such as `test/recall@10`."""
        self._keys = list(keys)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Collects the run folders of the sweep."""
        finished = Path(config.hydra.sweep.dir).glob("*/metrics.json")
        rows = {
            path.parent.name: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(finished, key=_job)
        }
        if rows:
            print_metrics(config.hydra.sweep.dir, rows, self._keys)


def _job(path: Path) -> tuple[float, str]:
    """The number of the job that wrote the file; a pre-training that jobs share has none."""
    name = path.parent.name
    number, _, _ = name.partition("_")
    return (float(number) if number.isdecimal() else float("inf"), name)
