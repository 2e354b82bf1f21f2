"""A report of 200 runs: CPU seconds over those of another checkout, in turn.

git worktree add /tmp/before <commit>
python bench/report.py --against /tmp/before
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
from measured import command_seconds, print_table, write_report

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from run_folders import record_run, run_config

SYSTEMS = [
    *([f"model={model}", "transfer=transductive"] for model in ("missrec", "missrec_released")),
    *([f"model={model}", "transfer=inductive"] for model in ("missrec", "missrec_released")),
    *(["model=missrec", f"inputs={inputs}"] for inputs in ("text", "image")),
    *([f"model={model}"] for model in ("sasrec", "bert4rec")),
    *(["model=unisrec", "inputs=text", f"transfer={t}ductive"] for t in ("in", "trans")),
]
SEEDS = range(1, 20)
BASELINES = [[f"model={model}"] for model in ("most_popular", "last_item_transition")]
DATA = "scientific_mm_subset"


def main() -> None:
    """Prints a row for each checkout, and writes `logs/bench/report.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="folder of another checkout")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--users", type=int, default=2_000)
    chosen = parser.parse_args()
    checkouts = [ROOT, *([chosen.against] if chosen.against else [])]
    with tempfile.TemporaryDirectory() as folder:
        num_runs = record_runs(Path(folder) / "logs", num_users=chosen.users)
        taken = [
            [report_seconds(checkout, Path(folder)) for checkout in checkouts]
            for _ in range(chosen.repeats)
        ]
    seconds = [median(times) for times in zip(*taken, strict=True)]
    names = ["here", *(["there"] if chosen.against else [])]
    rows = [
        [name, f"{own:.1f}", f"{own / seconds[-1]:.2f}"]
        for name, own in zip(names, seconds, strict=True)
    ]
    columns = ["checkout", "CPU seconds", "over there" if chosen.against else "over itself"]
    print_table(f"a report of {num_runs} runs of {chosen.users:,} users", columns, rows)
    report = {"runs": num_runs, "users": chosen.users, "cpu_seconds": seconds, "all": taken}
    write_report("report", report, show=False)


def record_runs(logs: Path, *, num_users: int) -> int:
    """Folders as so many runs leave them, with random ranks; the number of runs."""
    rng = np.random.default_rng(0)
    targets = rng.integers(1, 1_585, num_users)
    jobs: Sequence[tuple[list[str], int]] = [
        *product(SYSTEMS, SEEDS),
        *product(BASELINES, [1]),
        *product([["model=sasrec", "optimizer.lr=0.003"]], range(1, 9)),
    ]
    for overrides, seed in jobs:
        config = run_config(f"data={DATA}", "logger=csv", *overrides, seed=seed)
        ranks = 1 + np.floor(rng.random(num_users) ** 3 * 1_584)
        name = f"{'-'.join(overrides)}-s{seed}".replace("=", "_")
        epochs = None if overrides in BASELINES else 40
        record_run(logs / name, config, ranks, targets=targets, epochs=epochs)
    return len(jobs)


def report_seconds(checkout: Path, folder: Path) -> float:
    """CPU seconds of a report of the runs in a folder."""
    places = [f"paths.data_dir={folder}/data", f"paths.log_dir={folder}/logs"]
    return command_seconds(checkout, "report", [*places, f"output_dir={folder}/out"])


if __name__ == "__main__":
    main()
