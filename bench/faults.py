"""Damaged files of each kind that is read again: as they were, made again, or refused in a line.

python bench/faults.py           # 2,000 damaged files; --number for others, --seed for other places
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from measured import print_table, write_report

from damage import cases, tally


def main() -> None:
    """Damages each file in turn; ends with 1 if any stopped its reader or went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    outcomes = ("same", "refused", "unnoticed")
    rows, total, wrong = [], dict.fromkeys((*outcomes, "stopped"), 0), []
    with tempfile.TemporaryDirectory() as folder:
        found = cases(Path(folder))
        for index, case in enumerate(found):
            number = chosen.number // len(found) + (index < chosen.number % len(found))
            # A whole file of the same kind is what it is.
            others = [one.file.read_bytes() for one in found if one.file.name != case.file.name]
            counts = tally(case, number=number, draw=draw, others=others)
            stopped = sorted(set(counts) - set(outcomes))
            wrong += [f"{case.name}: {what}" for what in stopped]
            if case.has_checksum and counts["unnoticed"]:
                wrong.append(f"{case.name}: {counts['unnoticed']} unnoticed despite a checksum")
            shown = [counts[outcome] for outcome in outcomes]
            shown.append(sum(counts[what] for what in stopped))
            for outcome, count in zip(total, shown, strict=True):
                total[outcome] += count
            rows.append([case.name, "yes" if case.has_checksum else "no", *map(str, shown)])
    print_table("damaged files", ["file", "checksum", *total], rows)
    write_report("faults", {"number": chosen.number, **total})
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
