"""Kills a resume, up to the end of its run, at its file operations, and does it again.

python bench/kills.py            # 80 places; --number for others
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from measured import print_table, write_report

from kills import Resume, places


def main() -> None:
    """Half of the places tear what is written; ends with 1 if any repeat ends otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=80)
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    same, wrong = {False: 0, True: 0}, []
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        resume = Resume.prepare(Path(folder))
        kinds, expected = resume.operations()
        killed = places(kinds, chosen.number)
        for operation, torn in killed:
            if resume.killed_at(operation, torn=torn) == expected:
                same[torn] += 1
            else:
                wrong.append(f"operation {operation} ({kinds[operation]}), torn: {torn}")
    rows = [[f"{len(kinds):,}", *map(str, (len(killed), same[False], same[True], len(wrong)))]]
    columns = ["file operations", "kills", "same: killed before one", "same: torn writes", "other"]
    print_table("metrics.json of a resume that was killed and repeated", columns, rows)
    write_report("kills", {"operations": len(kinds), "kills": len(killed), "other": len(wrong)})
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
