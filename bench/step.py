"""A training step over that of another checkout: CPU seconds, and losses.

git worktree add /tmp/before a0861e8             # and prepare the data there too
python bench/step.py --against /tmp/before --model missrec
python bench/step.py --against /tmp/before --losses       # without dropout, losses compared
python bench/step.py --products                           # rates of products by their columns
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch
from measured import write_report

WORKER = """
import importlib.util, json, os, resource, sys, time
checkout, data, overrides = sys.argv[1], sys.argv[2], sys.argv[3:]
sys.path[:0] = [checkout + "/src", checkout + "/bench"]
os.environ["PROJECT_ROOT"] = checkout
spec = importlib.util.spec_from_file_location("bench_train", checkout + "/bench/train.py")
train = importlib.util.module_from_spec(spec)
spec.loader.exec_module(train)
import torch
from missrec.training.memory import keep_freed_memory
torch.set_num_threads(1)
keep_freed_memory()
if not any(word.startswith("model=missrec") for word in overrides):
    torch.nn.Module.refresh_interests = lambda self: None  # benches of before ask every model
variant = train.Variant(data, *overrides)
for line in sys.stdin:
    batch = variant.batches[int(line) % len(variant.batches)]
    start = time.process_time()
    variant.optimizer.zero_grad()
    loss = variant.model.training_loss(batch).total
    loss.backward()
    variant.optimizer.step()
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("step", json.dumps([seconds, float(loss.detach()), peak]), flush=True)
"""


class Step(NamedTuple):
    """What a step took; the largest memory of its process so far."""

    seconds: float
    loss: float
    peak_kib: int


class Side:
    """The steps of one checkout, in a process of its own."""

    def __init__(self, checkout: Path, data: str, overrides: list[str]) -> None:
        """Starts it, on one thread."""
        command = [sys.executable, "-c", WORKER, str(checkout), data, *overrides]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=checkout,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def step(self, number: int) -> Step:
        """One step with the batch of this number."""
        process: Any = self._process
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith("step "):
                return Step(*json.loads(line[5:]))
        raise SystemExit("the steps of a checkout ended before they were asked for")

    def end(self) -> None:
        """Waits for the process."""
        self._process.communicate()


def without_dropout(model: str) -> list[str]:
    """Overrides with which both sides compute the same, though they draw in another order."""
    part = "network" if model.startswith("missrec") else "encoder"
    overrides = [f"model.{part}.block.dropout_prob=0"]
    return [*overrides, f"model.{part}.block.activation_dropout_prob=0"]


def rates_of_products() -> dict[str, float]:
    """GFLOP/s of products of 6,144 rows of width 300, by columns and torch's precision."""
    torch.set_num_threads(1)
    rows = torch.randn(6144, 300)
    taken: dict[tuple[str, int], list[float]] = {}
    for _ in range(7):
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            for columns in (288, 300, 304, 900, 904):
                weight = torch.randn(columns, 300)
                start = time.process_time()
                rows @ weight.T
                seconds = time.process_time() - start
                rate = 2 * rows.numel() * columns / seconds / 1e9
                taken.setdefault((precision, columns), []).append(rate)
    return {f"{name} {columns}": statistics.median(all_) for (name, columns), all_ in taken.items()}


def main() -> None:
    """Steps of both in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--products", action="store_true", help="nothing but products")
    parser.add_argument("--data", default="scientific_mm_subset", help="prepared in both")
    parser.add_argument("--model", default="missrec", help="name under conf/model/")
    parser.add_argument("--steps", type=int, default=22, help="an epoch of the subset has 22")
    parser.add_argument("--losses", action="store_true", help="without dropout; compares losses")
    arguments = parser.parse_args()
    if arguments.products:
        write_report("products", rates_of_products())
        return
    if arguments.against is None:
        parser.error("--against names another checkout")

    overrides = [
        f"model={arguments.model}",
        *(["inputs=ids"] if arguments.model == "sasrec" else []),
    ]
    if arguments.losses:
        overrides += without_dropout(arguments.model)
    checkouts = (arguments.against.resolve(), ROOT)
    sides = [Side(checkout, arguments.data, overrides) for checkout in checkouts]
    for side in sides:
        side.step(0)  # warm
    steps = [[side.step(number) for side in sides] for number in range(1, arguments.steps + 1)]
    for side in sides:
        side.end()
    report = {
        "speedup": sum(a.seconds for a, _ in steps) / sum(b.seconds for _, b in steps),
        "speedup_of_a_step_median": statistics.median(a.seconds / b.seconds for a, b in steps),
        "peak_memory_ratio": steps[-1][1].peak_kib / steps[-1][0].peak_kib,
        "peak_gigabytes": [side.peak_kib * 1024 / 1e9 for side in steps[-1]],
    }
    if arguments.losses:
        report["largest_difference_of_losses"] = max(abs(a.loss - b.loss) for a, b in steps)
    write_report(f"step_{arguments.model}{'_losses' * arguments.losses}", report)


if __name__ == "__main__":
    main()
