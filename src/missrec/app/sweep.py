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
        rows = {
            path.parent.name: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(Path(config.hydra.sweep.dir).glob("*/metrics.json"))
        }
        if rows:
            print_metrics(config.hydra.sweep.dir, rows, self._keys)
