"""DPC-KNN, exact and with approximate neighbours: time over one pass of matmul, and memory.

python bench/interests.py        # 3,170 to 100,000 tokens x 300
python bench/interests.py --long # and 541,126, the tokens of the paper's pre-training set
python bench/interests.py --against /tmp/before   # the exact search over that of a checkout
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch
from measured import PeakMemory, compute_as_training, print_table, write_report

from missrec.interests.dpc_knn import DensityPeaks, density_peaks, planned_bytes
from missrec.interests.neighbors import (
    ExactNeighbors,
    FaissNeighbors,
    NeighborSearch,
    default_block_bytes,
)

WIDTH = 300
SIZES = [3_170, 8_770, 42_614, 100_000]
LARGE_SIZE = 100_000
"""From here on, once: a pass takes a minute on two slow cores."""
LONG_SIZE = 541_126
NAIVE_SIZE = 8_770
"""Above it, the naive version's T x T matrices take gigabytes."""
SHARE = 0.1
"""k of the authors' DPC-KNN, as a share of the tokens."""
SHARE_SIZE = 42_614
SEARCHED_BLOCKS = 12
"""Of rows, in the comparison with another checkout, which takes a minute."""
SAMPLED = 2_000
"""Tokens whose true neighbours are searched for the recall."""
GIGABYTE = 1e9
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def clustered_tokens(num_tokens: int) -> torch.Tensor:
    """(T, 300) tokens around 2,000 centres, along directions of falling weight.

    Their neighbours are no easier to find than those of adapted CLIP features: searching 32 cells
    finds .99 of them in 5,958 such tokens and in those of Scientific.
    """
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(2_000, WIDTH, generator=generator)
    which = torch.randint(2_000, (num_tokens,), generator=generator)
    tokens = torch.randn(num_tokens, WIDTH, generator=generator).add_(centers[which])
    return tokens.mul_((1 + torch.arange(WIDTH)) ** -0.75).to(DEVICE)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the function gave."""
    start = time.perf_counter()
    found = function()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, found


def matmul(tokens: torch.Tensor) -> None:
    """T x T inner products in the blocks that the clustering uses."""
    rows = default_block_bytes(DEVICE) // (4 * len(tokens))
    block = torch.empty(min(rows, len(tokens)), len(tokens), device=DEVICE)
    for first in range(0, len(tokens), rows):
        part = tokens[first : first + rows]
        torch.mm(part, tokens.T, out=block[: len(part)])


def cluster(tokens: torch.Tensor, *, search: NeighborSearch, num_neighbors: int) -> DensityPeaks:
    """What training does at each epoch start."""
    return density_peaks(
        tokens,
        num_neighbors=num_neighbors,
        include_self=False,
        break_ties=True,
        num_peaks=len(tokens) // 2,
        search=search,
        block_bytes=default_block_bytes(DEVICE),
    )


def naive(tokens: torch.Tensor, *, search: NeighborSearch, num_neighbors: int) -> torch.Tensor:
    """(K,) the peaks, by T x T matrices."""
    distances = torch.cdist(tokens, tokens)
    nearest = distances.topk(num_neighbors + 1, largest=False).values[:, 1:]
    density = -nearest.square().mean(dim=1)
    is_denser = density[:, None] < density[None, :]
    separation = distances.masked_fill(~is_denser, float("inf")).amin(dim=1)
    separation[density.argmax()] = distances.max()
    peaks = (density + separation.log()).topk(len(tokens) // 2).indices
    distances[:, peaks].argmin(dim=1)
    return peaks


def recall(tokens: torch.Tensor, search: NeighborSearch, num_neighbors: int) -> float:
    """Share of the true nearest tokens of a sample that the search finds."""
    sampled = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(1))[:SAMPLED]
    true = torch.cat(
        [
            torch.cdist(part, tokens).topk(num_neighbors + 1, largest=False).indices[:, 1:]
            for part in tokens[sampled].split(100)
        ]
    )
    found = torch.empty(len(tokens), num_neighbors, dtype=torch.int64, device=DEVICE)
    for rows, _, indices in search(
        tokens,
        rows=range(len(tokens)),
        count=num_neighbors,
        block_bytes=default_block_bytes(DEVICE),
    ):
        found[rows] = indices
    return float((true[:, :, None] == found[sampled][:, None]).any(dim=2).double().mean())


def measure(case: str, num_tokens: int, num_probes: int, repeats: int) -> dict[str, float]:
    """One case in a process of its own, whose peak memory is its own too."""
    compute_as_training(WIDTH)
    tokens = clustered_tokens(num_tokens)
    search = FaissNeighbors(num_probes=num_probes) if case == "faiss" else ExactNeighbors()
    num_neighbors = round(SHARE * num_tokens) if case == "exact, k = 0.1 N" else 5
    run = partial(naive if case == "naive" else cluster, search=search, num_neighbors=num_neighbors)
    run(tokens[:1_000], num_neighbors=5)  # warm, and what libraries take for themselves
    with PeakMemory() as memory:
        seconds, found = timed(lambda: run(tokens))
    peak = memory.gigabytes - memory.before
    if DEVICE.type == "cuda":
        peak = (torch.cuda.max_memory_allocated() - tokens.nbytes) / GIGABYTE
    figures = {"seconds": seconds, "peak_gigabytes": peak}
    if case != "naive":
        planned = planned_bytes(
            num_tokens=num_tokens,
            embed_dim=WIDTH,
            search=search,
            block_bytes=default_block_bytes(DEVICE),
        )
        figures["planned_gigabytes"] = planned / GIGABYTE
    if case == "faiss":
        figures["neighbor_recall"] = recall(tokens, search, num_neighbors)
    if feasible(num_tokens):
        if case == "faiss":
            exact = cluster(tokens, search=ExactNeighbors(), num_neighbors=num_neighbors)
            figures["same_prototypes"] = float(torch.isin(found.peaks, exact.peaks).double().mean())
        ratios = [seconds / timed(lambda: matmul(tokens))[0]]
        for _ in range(repeats - 1 if num_tokens < LARGE_SIZE else 0):
            ratios.append(timed(lambda: run(tokens))[0] / timed(lambda: matmul(tokens))[0])
        figures["over_matmul"] = statistics.median(ratios)
    return figures


def speedup_of_search(checkout: Path, num_tokens: int, repeats: int) -> dict[str, float]:
    """CPU time of the exact search of a checkout over ours, for the first rows of all tokens."""
    path = checkout / "src" / "missrec" / "interests" / "neighbors.py"
    spec = importlib.util.spec_from_file_location("neighbors_of_before", path)
    assert spec is not None
    assert spec.loader is not None
    before = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = before
    spec.loader.exec_module(before)
    tokens = clustered_tokens(num_tokens)
    tokens -= tokens.mean(dim=0)  # searches of before left that to their caller
    block_bytes = default_block_bytes(DEVICE)
    rows = range(min(num_tokens, SEARCHED_BLOCKS * block_bytes // (4 * num_tokens)))
    taken: list[list[float]] = []
    for _ in range(repeats):
        taken.append([])
        for search in (before.ExactNeighbors(), ExactNeighbors()):
            start = time.process_time()
            for _ in search(tokens, rows=rows, count=16, block_bytes=block_bytes):
                pass
            taken[-1].append(time.process_time() - start)
    return {"speedup_of_search": statistics.median(a / b for a, b in taken)}


def feasible(num_tokens: int) -> bool:
    """Whether all pairs of tokens can be compared in a time that one would wait."""
    return num_tokens < LONG_SIZE or DEVICE.type == "cuda"


def cases(num_tokens: int) -> list[str]:
    """What is measured at a size."""
    chosen = ["naive"] if num_tokens <= NAIVE_SIZE else []
    if feasible(num_tokens):
        chosen.append("exact")
    if num_tokens <= SHARE_SIZE:
        chosen.append("exact, k = 0.1 N")
    return [*chosen, "faiss"]


def main() -> None:
    """Each case in turn, each in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="*", default=SIZES)
    parser.add_argument("--long", action="store_true", help=f"add {LONG_SIZE:,} tokens")
    parser.add_argument("--probes", type=int, default=64, help="cells FAISS searches (default 64)")
    parser.add_argument("--repeats", type=int, default=3, help="of clustering and matmul in turn")
    parser.add_argument("--against", type=Path, help="another checkout: its exact search alone")
    arguments = parser.parse_args()
    if arguments.against is not None:
        torch.set_num_threads(1)
        figures = speedup_of_search(arguments.against, SHARE_SIZE, arguments.repeats)
        write_report("search", figures)
        return
    report: dict[str, Any] = {"device": str(DEVICE), "width": WIDTH, "probes": arguments.probes}
    rows = []
    for num_tokens in [*arguments.tokens, *([LONG_SIZE] if arguments.long else [])]:
        for case in cases(num_tokens):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                figures = pool.apply(
                    measure, (case, num_tokens, arguments.probes, arguments.repeats)
                )
            report[f"{num_tokens} {case}"] = figures
            columns = ("over_matmul", "seconds", "peak_gigabytes", "planned_gigabytes")
            columns += ("neighbor_recall", "same_prototypes")
            shown = [f"{figures[key]:.3g}" if key in figures else "" for key in columns]
            rows.append([f"{num_tokens:,}", case, *shown])
    write_report("interests", report, show=False)
    names = ["tokens", "case", "/ matmul", "s", "peak GB", "planned", "recall", "same peaks"]
    print_table("DPC-KNN; k = 5 unless said; peak and plan are beside the tokens", names, rows)


if __name__ == "__main__":
    main()
