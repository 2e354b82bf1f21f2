"""Training speed: batches trimmed to their longest history against batches padded to 50.

python bench/train.py            # needs the prepared domain, see README.md
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from missrec.app.build import build_experiment
from missrec.app.tracking import write_json
from missrec.types import SequenceBatch

PADDED = ("datamodule.trim_padding=false", "datamodule.pool_batches=1")


class Variant:
    """One way of batching, with its own model and optimiser."""

    def __init__(self, data: str, *overrides: str) -> None:
        """Builds the default model on the data and cuts one epoch into batches."""
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose(
                "train",
                overrides=[
                    f"data={data}",
                    "transfer=transductive",
                    "logger=csv",
                    "names.experiment=bench",
                    "names.model=missrec",
                    f"run_dir={tempfile.gettempdir()}",
                    *overrides,
                ],
            )
        torch.manual_seed(0)
        experiment = build_experiment(cfg)
        self.model: Any = experiment.module.model
        self.model.train()
        self.model.refresh_interests()
        self.optimizer = experiment.module.configure_optimizers()
        self.batches: list[SequenceBatch] = list(experiment.datamodule.train_dataloader())

    def sequences_per_sec(self, batches: list[SequenceBatch]) -> float:
        """Forward, backward and optimiser step over these batches."""
        start = time.perf_counter()
        for batch in batches:
            self.optimizer.zero_grad()
            self.model.training_loss(batch).total.backward()
            self.optimizer.step()
        return sum(len(batch.user_ids) for batch in batches) / (time.perf_counter() - start)

    def padding_share(self) -> float:
        """Share of the positions that are padding."""
        real = sum(int(batch.valid_mask.sum()) for batch in self.batches)
        return 1 - real / sum(batch.item_ids.numel() for batch in self.batches)


def main() -> None:
    """Times both in turn and prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="scientific_mm_subset", help="name under conf/data/")
    parser.add_argument("--repeats", type=int, default=2, help="trimmed epochs (default 2)")
    parser.add_argument("--padded-batches", type=int, default=2, help="padded batches a repeat")
    parser.add_argument("--out", type=Path, default=ROOT / "logs" / "bench" / "train.json")
    parser.add_argument("--threads", type=int, default=1, help="on shared cores two only wait")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    trimmed, padded = Variant(arguments.data), Variant(arguments.data, *PADDED)
    for variant in (trimmed, padded):  # warm-up
        variant.sequences_per_sec(variant.batches[:1])
    rates: dict[str, list[float]] = {"trimmed": [], "padded": []}
    chosen = np.linspace(0, len(padded.batches) - 2, arguments.padded_batches, dtype=int)
    for _ in range(arguments.repeats):
        rates["trimmed"].append(trimmed.sequences_per_sec(trimmed.batches))
        rates["padded"].append(padded.sequences_per_sec([padded.batches[i] for i in chosen]))
    ratios = [a / b for a, b in zip(rates["trimmed"], rates["padded"], strict=True)]
    report = {
        "sequences_per_sec": rates,
        "padding_share": {"trimmed": trimmed.padding_share(), "padded": padded.padding_share()},
        "trimmed_over_padded": statistics.median(ratios),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(report, indent=2))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, report)


if __name__ == "__main__":
    main()
