"""Full ranking: users/s and peak memory by size of the catalogue.

python bench/evaluate.py         # 4,385, 100,000 and 1,000,000 items x 1,000 users
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from measured import PeakMemory, compute_as_training, print_table, write_report
from numpy.lib.format import open_memmap
from omegaconf import DictConfig

from missrec.app.model import build
from missrec.features.store import ModalityFeatures
from missrec.features.table import FeatureTable
from missrec.training.ranking import DomainRanking
from missrec.types import Catalogue, DomainSpan, SequenceBatch, TrainSequences

SIZES = [4_385, 100_000, 1_000_000]
MODALITIES = ("text", "image")
FEATURE_WIDTH = 512
GIGABYTE = 1e9


def write_features(folder: Path, num_items: int) -> None:
    """Random float16 text and image features."""
    generator = np.random.default_rng(0)
    for modality in MODALITIES:
        shape = (num_items, FEATURE_WIDTH)
        values = open_memmap(folder / f"{modality}.npy", "w+", dtype=np.float16, shape=shape)
        for start in range(0, num_items, 10_000):
            block = values[start : start + 10_000]
            block[:] = generator.standard_normal(block.shape, dtype=np.float32)


def large_model(folder: Path, num_items: int, device: torch.device) -> Any:
    """The default model over features on disk, with ids."""
    item_ids = np.arange(1, num_items + 1)
    features = {
        modality: ModalityFeatures(item_ids, np.load(folder / f"{modality}.npy", mmap_mode="r"))
        for modality in MODALITIES
    }
    catalogue = Catalogue(
        num_items=num_items,
        train_counts=torch.ones(num_items + 1, dtype=torch.int64),
        train_sequences=TrainSequences(*torch.zeros(3, 0, dtype=torch.int64)),
        features=FeatureTable([features], num_items=[num_items], resident_bytes=0),
    )
    cfg = composed("transfer=transductive", "model.interests.ratio=0.001")
    model = build(cfg, "model", catalogue=catalogue).eval()
    # To cluster a million items takes minutes, and it costs the same whose interest an item is. But
    # without any, histories would be zeros, and all items tie.
    prototypes, of_item = model.interests.prototypes.normal_(), model.interests.interest_of_item
    of_item[:, 1:].random_(len(prototypes))
    return model.to(device)


def composed(*overrides: str) -> DictConfig:
    """conf/train.yaml."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides=[*overrides])


def measure(num_items: int, num_users: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Ranks the users in a process of its own, whose peak memory is its own too."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cfg = composed()
    settings = cfg.metrics
    compute_as_training(cfg.model.embed_dim)
    model = large_model(folder, num_items, device)
    generator = torch.Generator().manual_seed(0)
    users = SequenceBatch(
        user_ids=torch.arange(num_users),
        item_ids=torch.randint(1, num_items + 1, (num_users, 8), generator=generator),
        target_ids=torch.randint(1, num_items + 1, (num_users,), generator=generator),
    )
    users = SequenceBatch(*(part.to(device) for part in users))
    ratios, seconds = [], []
    with PeakMemory() as peak:
        for _ in range(repeats):
            start = time.perf_counter()
            ranked = rank(model, users, num_items, settings, device)
            synchronize(device)
            seconds.append(time.perf_counter() - start)
            ratios.append(seconds[-1] / bare_products(num_items, num_users, settings, device))
    assert ranked == num_users
    return {
        "users_per_sec": num_users / statistics.median(seconds),
        "over_matmul": statistics.median(ratios),
        "ranking_gigabytes": peak.gigabytes - peak.before,
        "process_gigabytes": peak.gigabytes,
    }


@torch.no_grad()
def rank(
    model: Any, users: SequenceBatch, num_items: int, settings: DictConfig, device: torch.device
) -> int:
    """Users ranked over the whole catalogue."""
    ranking = DomainRanking(
        model,
        DomainSpan("bench", 1, num_items),
        users_per_tile=settings.users_per_tile,
        items_per_tile=settings.items_per_tile,
        filter_seen=False,
        device=device,
    )
    ranking.add(users)
    return sum(len(part.ranks) for part in ranking.finish())


def synchronize(device: torch.device) -> None:
    """Waits for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def bare_products(
    num_items: int, num_users: int, settings: DictConfig, device: torch.device
) -> float:
    """Seconds of the matrix products alone: adapters once, scores of two modalities and ids."""
    user = torch.randn(settings.users_per_tile, 300, device=device)
    features = torch.randn(settings.items_per_tile, FEATURE_WIDTH, device=device)
    weight = torch.randn(FEATURE_WIDTH, 300, device=device)
    start = time.perf_counter()
    for first in range(0, num_items, settings.items_per_tile):
        rows = min(settings.items_per_tile, num_items - first)
        tokens = features[:rows] @ weight
        features[:rows] @ weight
        for one in range(0, num_users, settings.users_per_tile):
            for _ in range(3):
                user[: num_users - one] @ tokens.T
    synchronize(device)
    return time.perf_counter() - start


def main() -> None:
    """Each size in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="*", default=SIZES)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    report: dict[str, Any] = {"users": arguments.users}
    rows = []
    for num_items in arguments.items:
        with (
            tempfile.TemporaryDirectory() as folder,
            multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool,
        ):
            pool.apply(write_features, (Path(folder), num_items))
            settings = (num_items, arguments.users, arguments.repeats, Path(folder))
            figures = pool.apply(measure, settings)
        report[str(num_items)] = figures
        rows.append([f"{num_items:,}", *(f"{value:.3g}" for value in figures.values())])
    write_report("evaluate", report, show=False)
    names = ["items", "users/s", "/ matmul", "ranking GB", "process GB"]
    print_table(f"Full ranking of {arguments.users:,} users", names, rows)


if __name__ == "__main__":
    main()
