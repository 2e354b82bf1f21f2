"""What is served in the benchmarks of the service."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "src")]  # src/ has an evaluate.py too
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

import httpx
import numpy as np
import polars as pl
import torch

from evaluate import large_model
from missrec.retrieval.catalogue import CatalogueItems, CatalogueUsers
from missrec.retrieval.exact import ExactSearch
from missrec.retrieval.histories import Histories
from missrec.retrieval.recommender import CatalogueRecommender


def recommender(folder: Path, num_items: int, seed: int) -> CatalogueRecommender:
    """The default model with random weights over random features."""
    torch.manual_seed(seed)
    model = large_model(folder, num_items, torch.device("cpu"))
    model.refresh_interests()
    keys = pl.Series([f"item_{number}" for number in range(num_items)])
    nobody = Histories(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
    return CatalogueRecommender(
        model=model,
        items=CatalogueItems(domain="bench", keys=keys, titles=keys),
        users=CatalogueUsers(domain="bench", keys=keys.head(0), histories=nobody),
        index=ExactSearch,
        max_seq_len=50,
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def wait_for(is_so: Callable[[], bool]) -> float:
    """Seconds until it is so."""
    start = time.perf_counter()
    while True:
        try:
            if is_so():
                return time.perf_counter() - start
        except httpx.TransportError:
            pass
        time.sleep(0.05)
