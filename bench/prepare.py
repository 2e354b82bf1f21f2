"""From a raw dump to a domain folder: time and memory with 10 million ratings of 500,000 items.

python bench/prepare.py          # writes a synthetic dump in the 2018 layout, then prepares it
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CATEGORY = "Synthetic"
DAY_SEC = 24 * 60 * 60
TEN_YEARS = 3650


def write_dump(folder: Path, *, num_ratings: int, num_users: int, num_items: int) -> None:
    """Ratings in random order, days as times, items by a power law; texts of 25 words."""
    import numpy as np  # noqa: PLC0415  # see main

    generator = np.random.default_rng(0)
    users = generator.integers(num_users, size=num_ratings)
    items = (num_items * generator.random(num_ratings) ** 2).astype(np.int64)
    times = 1_200_000_000 + DAY_SEC * generator.integers(TEN_YEARS, size=num_ratings)
    with (folder / f"{CATEGORY}.csv").open("w") as stream:
        for user, item, moment in zip(users.tolist(), items.tolist(), times.tolist(), strict=True):
            stream.write(f"B{item:09d},A{user:013d},5.0,{moment}\n")
    with gzip.open(folder / f"meta_{CATEGORY}.json.gz", "wt", compresslevel=1) as packed:
        for item in range(num_items):
            record = {
                "asin": f"B{item:09d}",
                "title": f"Product {item} " + "with a title of many words " * 2,
                "category": ["A category", "one below it", f"and one below that {item % 99}"],
                "brand": f"Brand {item % 999}",
                "imageURLHighRes": [f"https://images.example/I/{item:011d}.jpg"] * 4,
            }
            packed.write(f"{json.dumps(record)}\n")


def main() -> None:
    """Writes in a process of its own, then runs the door and measures it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=500_000)
    arguments = parser.parse_args()
    sizes = {
        "num_ratings": arguments.ratings,
        "num_users": arguments.users,
        "num_items": arguments.items,
    }
    with tempfile.TemporaryDirectory() as folder:
        writer = multiprocessing.get_context("spawn").Process(
            target=write_dump, args=(Path(folder),), kwargs=sizes
        )
        writer.start()
        writer.join()
        start = time.perf_counter()
        door = subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "src" / "prepare.py"),
                "data=amazon",
                "data.year=2018",
                f"data.category={CATEGORY}",
                f"data.raw_dir={folder}",
                f"paths.data_dir={folder}/data",
                f"paths.log_dir={folder}/logs",
            ]
        )
        # Linux counts the memory of this process to a child's peak, so it imports nothing large.
        _, status, usage = os.wait4(door.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            sys.exit(os.waitstatus_to_exitcode(status))
        manifest = Path(folder, "data", f"amazon2018_{CATEGORY}", "manifest.json")
        kept = json.loads(manifest.read_text(encoding="utf-8"))["counts"]
    from measured import write_report  # noqa: PLC0415

    figures = {
        **sizes,
        **{f"{name}_kept": count for name, count in kept.items()},
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gigabytes": usage.ru_maxrss * 1024 / 1e9,
    }
    write_report("prepare", figures)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    main()
