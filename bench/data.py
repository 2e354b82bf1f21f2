"""The loader alone: batches/s, memory and time to the first batch with 14 million samples.

python bench/data.py             # writes and reads a synthetic domain of 1.4 million users
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np
from measured import write_report

from missrec.data.datamodule import SequenceDataModule
from missrec.data.domain import PreparedDomain, write_domain
from missrec.data.splits import LeaveOneOut

SAMPLES_PER_USER = 10
MEGABYTE = 1e6


def write_synthetic(folder: Path, *, num_users: int, num_items: int) -> None:
    """A domain folder of users with 10 training samples each, on average."""
    generator = np.random.default_rng(0)
    lengths = 3 + generator.poisson(SAMPLES_PER_USER, num_users)
    offsets = np.cumsum(np.concatenate([[0], lengths]))
    keys = [str(item) for item in range(num_items)]
    write_domain(
        folder,
        PreparedDomain(
            name=folder.name,
            items=generator.integers(1, num_items + 1, offsets[-1], dtype=np.int32),
            offsets=offsets,
            times=None,
            user_keys=[str(user) for user in range(num_users)],
            item_keys=keys,
            item_texts=keys,
            image_urls=None,
            features={},
            settings={},
        ),
    )


def resident() -> float:
    """Megabytes of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / MEGABYTE


def peak() -> float:
    """Largest resident memory of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE


def main() -> None:
    """Writes the domain in another process, then reads it and takes batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_400_000)
    parser.add_argument("--items", type=int, default=541_126)
    parser.add_argument("--batches", type=int, default=500, help="batches timed (default 500)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        writer = multiprocessing.get_context("spawn").Process(
            target=write_synthetic,
            args=(Path(folder),),
            kwargs={"num_users": arguments.users, "num_items": arguments.items},
        )
        writer.start()
        writer.join()
        before = resident()
        start = time.perf_counter()
        datamodule = SequenceDataModule(
            folders=[folder],
            split=LeaveOneOut(),
            prefixes=True,
            repeats=1,
            max_seq_len=50,
            mixing_exponent=1.0,
            batch_size=512,
            eval_batch_size=512,
            pool_batches=64,
            trim_padding=True,
            num_workers=0,
            pin_memory=False,
            seed=1,
        )
        datamodule.setup()
        read = time.perf_counter()
        loader = datamodule.train_dataloader()
        batches = iter(loader)
        first = next(batches)
        ready = time.perf_counter()
        sequences = sum(len(next(batches).user_ids) for _ in range(arguments.batches))
        end = time.perf_counter()
    write_report(
        "data",
        {
            "samples": len(loader.dataset),  # type: ignore[arg-type]
            "users": arguments.users,
            "seconds_to_read": read - start,
            "seconds_to_first_batch": ready - start,
            "batches_per_sec": arguments.batches / (end - ready),
            "sequences_per_sec": sequences / (end - ready),
            "batch_size": len(first.user_ids),
            "memory_megabytes": resident() - before,
            "peak_megabytes_beyond_imports": peak() - before,
        },
    )


if __name__ == "__main__":
    main()
