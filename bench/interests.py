"""DPC-KNN against one pass of matmul over the same blocks, and its peak memory.

python bench/interests.py        # 42,614 tokens: the size of Office
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch

from missrec.app.tracking import write_json
from missrec.interests.dpc_knn import density_peaks

BLOCK_BYTES = 134_217_728  # as conf/model/interests/dpc_knn.yaml


def clustered_tokens(num_tokens: int, width: int) -> torch.Tensor:
    """(T, D) tokens around 2,000 centres, as item tokens are."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(2_000, width, generator=generator)
    which = torch.randint(2_000, (num_tokens,), generator=generator)
    return centers[which] + 0.5 * torch.randn(num_tokens, width, generator=generator)


def time_matmul(tokens: torch.Tensor) -> float:
    """Seconds of T x T inner products in the blocks that the clustering uses."""
    rows = BLOCK_BYTES // (4 * len(tokens))
    block = torch.empty(rows, len(tokens))
    start = time.perf_counter()
    for first in range(0, len(tokens), rows):
        part = tokens[first : first + rows]
        torch.mm(part, tokens.T, out=block[: len(part)])
    return time.perf_counter() - start


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measures the memory of a first clustering, then times both in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=42_614)
    parser.add_argument("--width", type=int, default=300)
    parser.add_argument("--neighbors", type=int, default=5, help="k of Eq. 3 (default 5)")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "logs" / "bench" / "interests.json")
    arguments = parser.parse_args()

    tokens = clustered_tokens(arguments.tokens, arguments.width)
    seconds: dict[str, list[float]] = {"matmul": [], "dpc_knn": []}
    before = peak_bytes()
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        density_peaks(
            tokens,
            num_neighbors=arguments.neighbors,
            include_self=False,
            break_ties=True,
            num_peaks=arguments.tokens // 2,
            block_bytes=BLOCK_BYTES,
        )
        seconds["dpc_knn"].append(time.perf_counter() - start)
        after = peak_bytes()
        seconds["matmul"].append(time_matmul(tokens))
    ratios = [a / b for a, b in zip(seconds["dpc_knn"], seconds["matmul"], strict=True)]
    report = {
        "tokens": arguments.tokens,
        "width": arguments.width,
        "neighbors": arguments.neighbors,
        "seconds": seconds,
        "dpc_knn_over_matmul": statistics.median(ratios),
        "peak_process_gigabytes": after / 1e9,
        "peak_beyond_tokens_gigabytes": (after - before) / 1e9,
    }
    print(json.dumps(report, indent=2))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, report)


if __name__ == "__main__":
    main()
