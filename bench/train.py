"""Training speed: over the machine's matmul rate, over padding to 50, and over RecBole's SASRec.

python bench/train.py            # needs the prepared domain, see README.md
python bench/train.py --model sasrec
make bench                       # the same, with RecBole in an environment of its own
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from measured import compute_as_training, write_report
from omegaconf import DictConfig
from torch.utils.flop_counter import FlopCounterMode

from missrec.app.build import build_experiment
from missrec.app.session import plain
from missrec.app.settings import read_run
from missrec.training.memory import keep_freed_memory
from missrec.types import DiscoversInterests, SequenceBatch

PADDED = ("datamodule.trim_padding=false", "datamodule.pool_batches=1")
MATMUL_SIZE = 2048
RECBOLE = ROOT / ".venv-bench" / "bin" / "python"


def composed(data: str, *overrides: str) -> DictConfig:
    """The config of a training on the data, by default with item ids."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(
            "train",
            overrides=[
                f"data={data}",
                "transfer=transductive",
                "logger=csv",
                "names.experiment=bench",
                "names.model=bench",
                f"run_dir={tempfile.gettempdir()}",
                *overrides,
            ],
        )


class Variant:
    """One way of batching, with its own model and optimiser."""

    def __init__(self, data: str, *overrides: str) -> None:
        """Builds the model on the data and cuts one epoch into batches."""
        cfg = composed(data, *overrides)
        torch.manual_seed(0)
        compute_as_training(cfg.model.get("embed_dim"), cfg.matmul_precision)
        experiment = build_experiment(read_run(plain(cfg)))
        if not experiment.module.learns:
            raise SystemExit(f"{cfg.model._target_} has nothing to train")
        self.width: int = cfg.model.embed_dim
        self.num_items = experiment.catalogue.num_items
        self.model: Any = experiment.module.model
        self.model.train()
        if isinstance(self.model, DiscoversInterests):
            self.model.refresh_interests()
        self.optimizer = experiment.module.configure_optimizers()
        self.batches: list[SequenceBatch] = list(experiment.datamodule.train_dataloader())

    def step(self, batch: SequenceBatch) -> None:
        """Forward, backward and optimiser step."""
        self.optimizer.zero_grad()
        self.model.training_loss(batch).total.backward()
        self.optimizer.step()

    def sequences_per_sec(self, batches: list[SequenceBatch]) -> float:
        """Over these batches."""
        seconds = timed(lambda: [self.step(batch) for batch in batches])
        return sum(len(batch.user_ids) for batch in batches) / seconds

    def padding_share(self) -> float:
        """Share of the positions that are padding."""
        real = sum(int(batch.valid_mask.sum()) for batch in self.batches)
        return 1 - real / sum(batch.item_ids.numel() for batch in self.batches)

    def epoch_flops(self) -> int:
        """FLOPs of the matrix products of an epoch if no sequence had any padding.

        Sequences of as many items, and as many interests where the model has some, cost the same:
        one of each kind is read alone and twice. The difference is what a sequence costs, the rest
        is once a batch.
        """
        kinds: dict[tuple[int, int], SequenceBatch] = {}
        counts: Counter[tuple[int, int]] = Counter()
        for batch in self.batches:
            lengths = batch.valid_mask.sum(dim=1).tolist()
            interests = self._num_interests(batch)
            for row, kind in enumerate(zip(lengths, interests, strict=True)):
                counts[kind] += 1
                kinds.setdefault(kind, _row(batch, row, length=kind[0]))
        total, per_batch = 0, 0
        for kind, sequence in kinds.items():
            alone = self._flops(sequence)
            twice = self._flops(SequenceBatch(*(part.repeat_interleave(2, 0) for part in sequence)))
            total += counts[kind] * (twice - alone)
            per_batch = 2 * alone - twice
        return total + len(self.batches) * per_batch

    def _num_interests(self, batch: SequenceBatch) -> list[int]:
        if not isinstance(self.model, DiscoversInterests):
            return [0] * len(batch.user_ids)
        counts: list[int] = self.model.interests(batch.item_ids).valid_mask.sum(dim=1).tolist()
        return counts

    def _flops(self, batch: SequenceBatch) -> int:
        with FlopCounterMode(display=False) as counter:
            self.model.training_loss(batch).total.backward()
        return int(counter.get_total_flops())


def _row(batch: SequenceBatch, row: int, *, length: int) -> SequenceBatch:
    one = SequenceBatch(*(part[row : row + 1] for part in batch))
    targets = one.target_ids[..., :length] if one.target_ids.ndim == 2 else one.target_ids
    return one._replace(item_ids=one.item_ids[:, :length], target_ids=targets)


def timed(function: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def matmul_rate() -> float:
    """FLOPs a second of large matrix products."""
    left, right = torch.randn(2, MATMUL_SIZE, MATMUL_SIZE)
    left @ right
    return 10 * 2 * MATMUL_SIZE**3 / timed(lambda: [left @ right for _ in range(10)])


class RecBole:
    """RecBole's SASRec, two blocks, of our width, on our batches, in its own environment."""

    def __init__(self, variant: Variant, folder: Path, *, threads: int) -> None:
        """Writes the batches."""
        self._path = folder / f"{len(variant.batches)}_{id(variant)}.npz"
        self._width, self._threads = variant.width, threads
        self._num_sequences = sum(len(batch.user_ids) for batch in variant.batches)
        arrays = {"num_items": variant.num_items, "num_batches": len(variant.batches)}
        for i, batch in enumerate(variant.batches):
            arrays |= {f"items_{i}": batch.item_ids, f"targets_{i}": batch.target_ids}
        np.savez(self._path, **arrays)

    def sequences_per_sec(self) -> float:
        """Over one epoch."""
        script = str(ROOT / "bench" / "recbole_sasrec.py")
        command = [RECBOLE, script, self._path, "--width", self._width, "--threads", self._threads]
        done = subprocess.run(
            [*map(str, command)], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        return self._num_sequences / float(done.stdout.splitlines()[-1])


def main() -> None:
    """Times all in turn and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="scientific_mm_subset", help="name under conf/data/")
    parser.add_argument("--model", default="missrec", help="name under conf/model/")
    parser.add_argument("--repeats", type=int, default=3, help="of all in turn (default 3)")
    parser.add_argument("--padded-batches", type=int, default=2, help="padded batches a repeat")
    parser.add_argument("--threads", type=int, default=1, help="on shared cores two only wait")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()

    chosen = f"model={arguments.model}"
    trimmed = Variant(arguments.data, chosen)
    padded = Variant(arguments.data, chosen, *PADDED)
    flops = trimmed.epoch_flops()
    num_sequences = sum(len(batch.user_ids) for batch in trimmed.batches)
    spread = np.linspace(0, len(padded.batches) - 2, arguments.padded_batches, dtype=int)
    some_padded = [padded.batches[i] for i in spread]
    for variant in (trimmed, padded):  # warm-up
        variant.sequences_per_sec(variant.batches[:1])
    rates: dict[str, list[float]] = {"trimmed": [], "padded": [], "recbole_sasrec": []}
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        recbole = RecBole(trimmed, Path(folder), threads=arguments.threads)
        for _ in range(arguments.repeats):
            limit = matmul_rate()
            rates["trimmed"].append(trimmed.sequences_per_sec(trimmed.batches))
            shares.append(flops * rates["trimmed"][-1] / num_sequences / limit)
            rates["padded"].append(padded.sequences_per_sec(some_padded))
            if RECBOLE.exists():
                rates["recbole_sasrec"].append(recbole.sequences_per_sec())
    report: dict[str, Any] = {
        "model": arguments.model,
        "threads": arguments.threads,
        "flops_per_sequence": flops / num_sequences,
        "sequences_per_sec": rates["trimmed"],
        "share_of_matmul_rate": shares,
        "padding_share": trimmed.padding_share(),
        "padding_share_padded_to_50": padded.padding_share(),
        "over_padded_to_50": ratio(rates, "padded"),
    }
    if RECBOLE.exists():
        report["over_recbole_sasrec"] = ratio(rates, "recbole_sasrec")
    write_report(f"train_{arguments.model}", report)
    if not RECBOLE.exists():
        print(f"RecBole was left out: {RECBOLE} does not exist; `make bench` makes it")


def ratio(rates: dict[str, list[float]], other: str) -> float:
    """Median over the repeats of our rate over another one."""
    return statistics.median(a / b for a, b in zip(rates["trimmed"], rates[other], strict=True))


if __name__ == "__main__":
    main()
