"""Starting, and whole runs: CPU seconds and peak memory, over those of another checkout.

git worktree add /tmp/before a0861e8
python bench/start.py --against /tmp/before      # three times each, in turn
python bench/start.py --against /tmp/before --cases subset     # prepared in both
python bench/start.py --against /tmp/before --cases demo --cold
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from measured import Usage, command_usage, print_table, write_report

ROOT = Path(__file__).resolve().parents[1]
ONE_EPOCH = "one epoch"
CASES: Mapping[str, Sequence[str]] = {
    "help": ["--help"],
    ONE_EPOCH: ["experiment=demo", "trainer.max_epochs=1"],
    "demo": ["experiment=demo"],
    "sweep": [
        *("-m", "experiment=demo", "seed=1,2,3", "trainer.max_epochs=1"),
    ],
    "subset": [
        *("experiment=scratch", "data=scientific_mm_subset", "transfer=transductive"),
        *("logger=csv", "trainer.max_epochs=20"),  # a run has 30 to 60
    ],
}


def main() -> None:
    """Prints a row for each case, and writes `logs/bench/start.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="folder of another checkout")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--cold", action="store_true", help="with no bytecode at hand")
    chosen = parser.parse_args()
    checkouts = [ROOT, *([chosen.against.resolve()] if chosen.against else [])]
    if not chosen.cold:
        for checkout in checkouts:  # a first start compiles to bytecode
            fresh_usage(checkout, CASES[ONE_EPOCH], cold=False)
    report: dict[str, dict[str, list[float]]] = {}
    rows = []
    for case in chosen.cases:
        taken = [
            [fresh_usage(one, CASES[case], cold=chosen.cold) for one in checkouts]
            for _ in range(chosen.repeats)
        ]
        medians = [Usage(*map(median, zip(*own, strict=True))) for own in zip(*taken, strict=True)]
        seconds, peaks = map(list, zip(*medians, strict=True))
        report[case] = {"cpu_seconds": seconds, "peak_gigabytes": peaks}
        faster = [there / seconds[0] for there in seconds[1:]]
        smaller = [peaks[0] / there for there in peaks[1:]]
        cells = map("{:.2f}".format, [*seconds, *faster, *peaks, *smaller])
        rows.append([" ".join(CASES[case]), *cells])
    there, times, share = (["there"], ["times"], ["share"]) if chosen.against else ([], [], [])
    columns = ["src/train.py ...", "CPU seconds", *there, *times, "peak GB", *there, *share]
    name = f"start{'_cold' * chosen.cold}"
    print_table(name, columns, rows)
    write_report(name, report, show=False)


def fresh_usage(checkout: Path, arguments: Sequence[str], *, cold: bool) -> Usage:
    """What a training takes where nothing was made before, but a domain that was prepared."""
    with tempfile.TemporaryDirectory() as folder:
        places = [f"paths.log_dir={folder}/logs"]
        if not any(argument.startswith("data=") for argument in arguments):
            places.append(f"paths.data_dir={folder}/data")
        bytecode = Path(folder) / "bytecode" if cold else None
        return command_usage(checkout, "train", [*arguments, *places], bytecode=bytecode)


if __name__ == "__main__":
    main()
