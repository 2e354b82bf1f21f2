"""Damaged source files: are all rows taken or rejected, or is the file refused in one line?

python bench/readers.py      # 50,000 damaged files; --number for others, --seed for other places
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from measured import print_table, write_report

from damaged_sources import readers, tally

MOST_MEGABYTES = 500
COUNTS = ("read", "refused", "stopped", "rows", "accepted", "rejected", "slowest s")


@contextmanager
def silent() -> Iterator[None]:
    """Keeps from the terminal what polars, which is no Python, says when it panics."""
    terminal = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def main() -> None:
    """Damages each file in turn; ends with 1 if any stopped its reader or lost a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    logging.disable()
    warnings.simplefilter("ignore")
    rows, wrong = [], []
    total = dict.fromkeys(COUNTS, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        found = readers(Path(folder))
        for index, reader in enumerate(found):
            number = chosen.number // len(found) + (index < chosen.number % len(found))
            others = [one.file.read_bytes() for one in found if one.name != reader.name]
            with silent():
                result = tally(reader, number=number, draw=draw, others=others)
            stopped = sorted(set(result.outcomes) - {"read", "refused"})
            wrong += [f"{reader.name}: {what}" for what in stopped]
            counts = [
                result.outcomes["read"],
                result.outcomes["refused"],
                sum(result.outcomes[what] for what in stopped),
                result.rows,
                result.accepted,
                result.rejected,
                result.slowest_sec,
            ]
            for name, count in zip(COUNTS, counts, strict=True):
                total[name] = max(total[name], count) if name == COUNTS[-1] else total[name] + count
            rows.append(
                [reader.name, *(f"{count:,.{int(isinstance(count, float))}f}" for count in counts)]
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print_table("damaged source files", ["file", *COUNTS], rows)
    write_report("readers", {"number": chosen.number, **total, "peak megabytes": peak})
    if peak > MOST_MEGABYTES:
        wrong.append(f"{peak:.0f} MB at the most")
    print("\n".join(wrong) or "no row was lost, no reader stopped")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
