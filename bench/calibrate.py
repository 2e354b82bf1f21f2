"""How often the paired test errs between equal systems (A/A), and what it can find.

python bench/calibrate.py        # `make calibrate` trains the seeds first, 5 epochs on the demo
python bench/calibrate.py --ours 'logs/a/*' --theirs 'logs/b/*'      # power too, of two systems
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

import numpy as np
from measured import print_table, write_report
from pytorch_lightning import Trainer
from scipy import stats

from missrec.app.build import build_experiment
from missrec.app.evaluate import read_saved_run
from missrec.metrics.components import spread
from missrec.metrics.paired import read_paired, user_metric
from missrec.metrics.power import detectable_difference
from missrec.metrics.significance import paired_differences
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.finding import run_folders
from missrec.runs.folder import METRICS, RunFolder
from missrec.runs.ranks import recorded_ranks, save_ranks
from missrec.training.saving import WholeCheckpoints
from missrec.training.silence import quiet_lightning

METRIC_NAMES = ["recall@10", "ndcg@10"]
GROUP_SIZES = [3, 5]
POWER_SEEDS = [3, 5, 10]
BARS = {0.05: (0.03, 0.07), 0.01: (0.004, 0.02)}
"""Level -> between which shares of the A/A tests may be below it."""


class Rates(NamedTuple):
    """Shares of the A/A tests below each level, with seeds drawn and with users alone."""

    split: str
    metric: str
    num_seeds: int
    by_level: dict[float, float]
    users_alone: dict[float, float]

    @property
    def is_calibrated(self) -> bool:
        """Whether every share is within its bar."""
        return all(low <= self.by_level[level] <= high for level, (low, high) in BARS.items())


def validation_ranks(run: Path) -> Path:
    """The ranks of a run's validation users, which it did not keep: ranked once, then kept."""
    folder = RunFolder(run)
    (domain,) = recorded_ranks(run)
    path = folder.evaluation / f"val_ranks_{domain}.parquet"
    if not path.is_file():
        experiment = build_experiment(read_saved_run(folder, data_dir=ROOT / "data", trust=False))
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            plugins=[WholeCheckpoints()],
            default_root_dir=str(run),
        )
        trainer.validate(
            experiment.module,
            datamodule=experiment.datamodule,
            ckpt_path=chosen_checkpoint(run),
            weights_only=True,
            verbose=False,
        )
        path.parent.mkdir(exist_ok=True)
        save_ranks(path, experiment.datamodule.spans[0], experiment.module.target_ranks[0])
    return path


def values_of(files: Sequence[Path]) -> np.ndarray:
    """(S, U, M) the metrics of each seed and user."""
    tables = read_paired(files)
    found = np.array([[user_metric(table, name) for name in METRIC_NAMES] for table in tables])
    return found.swapaxes(1, 2)


def error_rates(split: str, values: np.ndarray, *, num_seeds: int, number: int) -> list[Rates]:
    """Compares disjoint groups of seeds of one system with each other, `number` times."""
    rng = np.random.default_rng(num_seeds)
    tests, alone = [], []
    for index in range(number):
        drawn = rng.permutation(len(values))[: 2 * num_seeds]
        ours, theirs = values[drawn[:num_seeds]], values[drawn[num_seeds:]]
        found = paired_differences(ours, theirs, num_resamples=2000, seed=index)
        tests.append([difference.p_value for difference in found])
        error = np.sqrt(spread(ours, theirs, fixed=(False, False)).over_users)
        means = [difference.mean for difference in found]
        alone.append(2 * stats.norm.sf(np.abs(means) / error))
    return [
        Rates(
            split,
            metric,
            num_seeds,
            *(
                {level: float((np.array(p)[:, column] < level).mean()) for level in BARS}
                for p in (tests, alone)
            ),
        )
        for column, metric in enumerate(METRIC_NAMES)
    ]


def power_rows(ours: np.ndarray, theirs: np.ndarray) -> list[dict[str, float | str]]:
    """What is found with 80 %, by the number of seeds a side, from the spread of these."""
    found = spread(ours, theirs, fixed=(False, False))
    # The variance over seeds of one seed a side, the mean of the two systems.
    of_seed = found.over_seeds / (1 / len(ours) + 1 / len(theirs)) * 2
    rows: list[dict[str, float | str]] = []
    for column, metric in enumerate(METRIC_NAMES):
        users = found.of_users[column]
        row: dict[str, float | str] = {
            "metric": metric,
            "means": f"{ours.mean((0, 1))[column]:.4f}, {theirs.mean((0, 1))[column]:.4f}",
            "a seed": float(np.sqrt(of_seed[column] / 2)),
            "users": float(np.sqrt(users)),
        }
        for num_seeds in POWER_SEEDS:
            over_seeds = of_seed[column] / num_seeds
            freedom = over_seeds**2 / (2 * num_seeds - 2) + users**2 / (found.num_users - 1)
            total = over_seeds + users
            row[f"{num_seeds} seeds"] = detectable_difference(total, total**2 / freedom)
        rows.append(row)
    return rows


def finished(pattern: str) -> list[Path]:
    """The folders of finished runs that a pattern names."""
    return [folder for folder in run_folders(pattern) if (folder / METRICS).is_file()]


def main() -> None:
    """Prints both tables; ends with 1 if a share is outside its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default="logs/calibrate/*", help="seeds of one system, for A/A")
    parser.add_argument("--number", type=int, default=500, help="comparisons of each kind")
    parser.add_argument("--ours", help="seeds of a system, for power")
    parser.add_argument("--theirs", help="seeds of another")
    asked = parser.parse_args()
    quiet_lightning()
    runs = finished(asked.runs)
    if len(runs) < 2 * max(GROUP_SIZES):
        parser.error(f"{asked.runs} has {len(runs)} finished runs; make calibrate trains them")
    rates = []
    for split, files in {
        "val": [validation_ranks(run) for run in runs],
        "test": [next(iter(recorded_ranks(run).values())) for run in runs],
    }.items():
        values = values_of(files)
        for num_seeds in GROUP_SIZES:
            rates += error_rates(split, values, num_seeds=num_seeds, number=asked.number)
    print_table(
        f"A/A, {len(runs)} seeds, {asked.number} comparisons a line: share of p-values",
        ["", "seeds a side", *(f"< {level}" for level in BARS), "users alone: < 0.05", "< 0.01"],
        [
            [
                f"{one.split}/{one.metric}",
                str(one.num_seeds),
                *(f"{share:.3f}" for share in one.by_level.values()),
                *(f"{share:.3f}" for share in one.users_alone.values()),
            ]
            for one in rates
        ],
    )
    report: dict[str, object] = {"runs": len(runs), "number": asked.number}
    report["rates"] = [one._asdict() for one in rates]
    if asked.ours and asked.theirs:
        sides = [
            [next(iter(recorded_ranks(run).values())) for run in finished(pattern)]
            for pattern in (asked.ours, asked.theirs)
        ]
        values = values_of([*sides[0], *sides[1]])
        ours, theirs = values[: len(sides[0])], values[len(sides[0]) :]
        report["power"] = rows = power_rows(ours, theirs)
        print_table(
            f"Found with 80 % at .05, {values.shape[1]:,} users",
            list(rows[0]),
            [[v if isinstance(v, str) else f"{v:.4f}" for v in row.values()] for row in rows],
        )
    write_report("calibrate", report, show=False)
    if wrong := [one for one in rates if not one.is_calibrated]:
        sys.exit(f"outside the bars: {wrong}")


if __name__ == "__main__":
    main()
