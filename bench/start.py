"""Starting: CPU seconds of `--help` and of the demo, over those of another checkout.

git worktree add /tmp/before a0861e8
python bench/start.py --against /tmp/before      # three times each, in turn
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from measured import command_seconds, print_table, write_report

ROOT = Path(__file__).resolve().parents[1]
ONE_EPOCH = "one epoch"
CASES: Mapping[str, Sequence[str]] = {
    "help": ["--help"],
    ONE_EPOCH: ["experiment=demo", "trainer.max_epochs=1"],
    "demo": ["experiment=demo"],
    "sweep": [
        *("-m", "experiment=demo", "seed=1,2,3", "trainer.max_epochs=1"),
    ],
}


def main() -> None:
    """Prints a row for each case, and writes `logs/bench/start.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="folder of another checkout")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    chosen = parser.parse_args()
    checkouts = [ROOT, *([chosen.against] if chosen.against else [])]
    for checkout in checkouts:  # a first start compiles to bytecode
        fresh_seconds(checkout, CASES[ONE_EPOCH])
    report: dict[str, list[float]] = {}
    for case in chosen.cases:
        taken = [
            [fresh_seconds(one, CASES[case]) for one in checkouts] for _ in range(chosen.repeats)
        ]
        report[case] = [median(times) for times in zip(*taken, strict=True)]
    columns = ["src/train.py ...", "CPU seconds", *(["there", "times"] if chosen.against else [])]
    rows = [
        [
            " ".join(CASES[case]),
            *map("{:.2f}".format, [*times, *(there / times[0] for there in times[1:])]),
        ]
        for case, times in report.items()
    ]
    print_table("start", columns, rows)
    write_report("start", report, show=False)


def fresh_seconds(checkout: Path, arguments: Sequence[str]) -> float:
    """CPU seconds of a training, in a folder where nothing was made before."""
    with tempfile.TemporaryDirectory() as folder:
        places = [f"paths.data_dir={folder}/data", f"paths.log_dir={folder}/logs"]
        return command_seconds(checkout, "train", [*arguments, *places])


if __name__ == "__main__":
    main()
