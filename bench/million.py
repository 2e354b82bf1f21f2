"""A full softmax over a million items: time over its bare products, memory beside its tables.

python bench/million.py
python bench/million.py --items 200000 --width 64

Counts a step of SASRec, forward and backward, in CPU seconds of this process. Its bare products
are the scores, and the gradients of histories and items, each B x N x D, in the same blocks. Peak
memory is that of a process of its own which trains two steps with Adam, less what it had before the
model, and less its tables: parameters, gradients and the two moments of each. RecBole's SASRec,
with all scores at once, is measured alike where .venv-bench is (see README.md); its peak is that of
the whole process, libraries included, less the tables of its items.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from measured import PeakMemory, compute_as_training, cpu_seconds, write_report
from torch import Tensor

from missrec.app.model import build
from missrec.features.table import FeatureTable
from missrec.objectives.blocks import block_columns, default_score_bytes
from missrec.training.memory import keep_freed_memory
from missrec.types import Catalogue, SequenceBatch, TrainSequences

RECBOLE = ROOT / ".venv-bench" / "bin" / "python"
HISTORY = 5


def model_of(num_items: int, width: int) -> Any:
    """SASRec as conf/model/sasrec.yaml has it, of another width."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=["model=sasrec", f"model.embed_dim={width}"])
    sequences = TrainSequences(
        torch.ones(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int64), torch.ones(1).long()
    )
    catalogue = Catalogue(
        num_items=num_items,
        train_counts=torch.zeros(num_items + 1, dtype=torch.int64),
        train_sequences=sequences,
        features=FeatureTable([{}], num_items=[num_items], resident_bytes=0),
    )
    return build(cfg, "model", catalogue=catalogue).train()


def batch_of(num_rows: int, num_items: int) -> SequenceBatch:
    """Random histories and targets."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, num_items + 1, (num_rows, HISTORY + 1), generator=generator)
    return SequenceBatch(torch.arange(num_rows), ids[:, :-1], ids[:, -1].contiguous())


def loss_and_gradient(model: Any, batch: SequenceBatch) -> None:
    """A step without the optimiser."""
    model.zero_grad()
    model.training_loss(batch).total.backward()


def products(histories: Tensor, items: Tensor) -> None:
    """The three products of a softmax, block by block as the objective has them."""
    cpu = torch.device("cpu")
    columns = block_columns(len(histories), score_bytes=default_score_bytes(cpu), device=cpu)
    of_histories = torch.zeros_like(histories)
    for start in range(0, len(items), columns):
        block = items[start : start + columns]
        scores = histories @ block.T
        of_histories.addmm_(scores, block)
        scores.T @ histories


def measure_memory(arguments: argparse.Namespace) -> None:
    """Prints the CPU seconds of the second step, and the peak of gigabytes beside the tables."""
    with PeakMemory() as peak:
        model = model_of(arguments.items, arguments.width)
        batch = batch_of(arguments.batch, arguments.items)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)

        def step() -> None:
            loss_and_gradient(model, batch)
            optimizer.step()

        step()
        seconds = cpu_seconds(step)
    tables = 4 * sum(parameter.nbytes for parameter in model.parameters()) / 1e9
    print(seconds, peak.gigabytes - peak.before - tables)


def recbole(arguments: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """CPU seconds of a step, and the gigabytes of the whole process beside its tables."""
    batch = batch_of(arguments.batch, arguments.items)
    path = folder / "batch.npz"
    np.savez(
        path,
        num_items=arguments.items,
        num_batches=1,
        items_0=batch.item_ids,
        targets_0=batch.target_ids,
    )
    script = str(ROOT / "bench" / "recbole_sasrec.py")
    seconds, peak = spoken(
        [RECBOLE, script, path, "--width", arguments.width, "--threads", 1, "--memory"]
    )
    return seconds, peak - 4 * 4 * arguments.items * arguments.width / 1e9


def spoken(command: list[Any]) -> tuple[float, float]:
    """The two numbers that a process ends with."""
    done = subprocess.run(
        [*map(str, command)], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    first, second = done.stdout.splitlines()[-1].split()
    return float(first), float(second)


def main() -> None:
    """Time in turn with the bare products, then memory, each side in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=512, help="histories a step")
    parser.add_argument("--width", type=int, default=128, help="of the model")
    parser.add_argument("--repeats", type=int, default=3, help="of time, in turn (default 3)")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    compute_as_training(arguments.width)
    keep_freed_memory()  # as a training does
    if arguments.memory:
        measure_memory(arguments)
        return
    sizes = ["--items", arguments.items, "--batch", arguments.batch, "--width", arguments.width]
    step_seconds, beside_tables = spoken([sys.executable, __file__, *sizes, "--memory"])
    report: dict[str, Any] = {
        "items": arguments.items,
        "batch": arguments.batch,
        "width": arguments.width,
        "gigabytes_beside_tables": beside_tables,
        "step_with_adam_cpu_sec": step_seconds,
    }
    if RECBOLE.exists():
        with tempfile.TemporaryDirectory() as folder:
            theirs, gigabytes = recbole(arguments, Path(folder))
        report["recbole_gigabytes_beside_tables"] = gigabytes
        report["recbole_step_with_adam_cpu_sec"] = theirs
    if arguments.repeats:
        model = model_of(arguments.items, arguments.width)
        batch = batch_of(arguments.batch, arguments.items)
        items = model.items.weight.detach()[1:]
        histories = torch.randn(arguments.batch, arguments.width)
        times = [
            (
                cpu_seconds(lambda: products(histories, items)),
                cpu_seconds(lambda: loss_and_gradient(model, batch)),
            )
            for _ in range(arguments.repeats)
        ]
        report["loss_over_products"] = statistics.median(ours / bare for bare, ours in times)
        report["products_cpu_sec"] = [bare for bare, _ in times]
    write_report(f"million_{arguments.items}_{arguments.width}", report)


if __name__ == "__main__":
    main()
