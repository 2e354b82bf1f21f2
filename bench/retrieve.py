"""Search for the best items: exactness, time over the bare products, what FAISS finds of them.

python bench/retrieve.py         # needs the prepared domain, see README.md

A model is trained shortly on the domain. Its catalogue is repeated up to a size, each copy of an
item moved by a share of the difference of two other items, as far as neighbours are apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

import torch
from hydra import compose, initialize_config_dir
from measured import PeakMemory, cpu_seconds, print_table, write_report
from torch import Tensor

from missrec.app.build import build_experiment
from missrec.app.session import plain
from missrec.app.settings import read_run
from missrec.retrieval.bounded import BoundedSearch
from missrec.retrieval.exact import ExactSearch
from missrec.retrieval.faiss_index import FaissIndex
from missrec.retrieval.rows import CatalogueRows
from missrec.retrieval.search import Search, TopK, Wanted
from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors

SIZES = [4_385, 100_000, 1_000_000]
K = 100
USERS_AT_ONCE = 64
MOVED = 0.3
"""Copies are then as far apart as the nearest items of Scientific: .5 of texts, .35 of images."""
DOUBLE_ERROR = 1e-10
"""More than float64 products of any order may be off."""
ITEMS_AT_ONCE = 20_000
FLAT_SIZE = 100_000
"""Above it, the rows are not held twice for the walk over an exact index."""
GIGABYTE = 1e9


def trained(data: str, *, epochs: int) -> tuple[ItemVectors, Tensor]:
    """The items of the domain and the users of its test histories, by a model trained shortly."""
    overrides = [f"data={data}", "transfer=transductive", "logger=csv"]
    overrides += ["names.experiment=bench", "names.model=bench", f"run_dir={tempfile.gettempdir()}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        experiment = build_experiment(read_run(plain(compose("train", overrides=overrides))))
    model: Any = experiment.module.model
    optimizer = experiment.module.configure_optimizers()
    torch.manual_seed(0)
    for _ in range(epochs):
        model.eval()
        model.refresh_interests()
        model.train()
        for batch in experiment.datamodule.train_dataloader():
            optimizer.zero_grad()
            model.training_loss(batch).total.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        vectors = model.item_vectors(torch.arange(1, experiment.catalogue.num_items + 1))
        loaders = experiment.datamodule.test_dataloader()
        users = [model.encode(batch) for loader in loaders for batch in loader]
    return vectors, torch.cat(users)


def repeated(vectors: ItemVectors, num_items: int) -> ItemVectors:
    """A catalogue of any size like a real one."""
    generator = torch.Generator().manual_seed(0)
    num_real = vectors.present.shape[1]
    which = torch.arange(num_items) % num_real
    ids = vectors.ids
    assert ids is not None
    tokens = torch.empty(len(vectors.tokens), num_items, ids.shape[1])
    more_ids = torch.empty(num_items, ids.shape[1])
    for real, copies in [*zip(vectors.tokens, tokens, strict=True), (ids, more_ids)]:
        for start in range(0, num_items, ITEMS_AT_ONCE):
            part = copies[start : start + ITEMS_AT_ONCE]
            one, other = torch.randint(num_real, (2, len(part)), generator=generator)
            moved = MOVED * (real[one] - real[other])
            moved[: max(0, num_real - start)] = 0  # the first of each is the item itself
            part[:] = real[which[start : start + ITEMS_AT_ONCE]] + moved
            if real is not ids:
                part /= part.norm(dim=1, keepdim=True)
    return vectors._replace(tokens=tokens, present=vectors.present[:, which], ids=more_ids)


def full_scores(table: ItemTable, users: Tensor) -> Tensor:
    """(B, N) float64 scores by place: float64 matrix products, the softmax of a library and all."""
    vectors, scores = table.vectors, []
    assert vectors.ids is not None
    for start in range(0, len(table), ITEMS_AT_ONCE):
        part = slice(start, start + ITEMS_AT_ONCE)
        by_modality = users.double() @ vectors.tokens[:, part].double().transpose(1, 2)
        weights = (vectors.alpha.double() * by_modality).softmax(dim=0)
        fused = vectors.modality_weight * (weights * by_modality).sum(dim=0)
        scores.append(fused + users.double() @ vectors.ids[part].double().T)
    return torch.cat(scores, dim=1)


def brute_force(table: ItemTable, users: Tensor) -> TopK:
    """All items by float64 products; those that may be among the best again as pairs, sorted."""
    items, scores = [], []
    for row, full in enumerate(full_scores(table, users)):
        near = table.items[(full >= full.topk(K).values[-1] - DOUBLE_ERROR).nonzero().squeeze(1)]
        exact = table.pair_scores(users, torch.full_like(near, row), near).total
        order = table.places[near].argsort()
        order = order[exact[order].argsort(descending=True, stable=True)][:K]
        items.append(near[order])
        scores.append(exact[order])
    return TopK(torch.stack(items), torch.stack(scores))


def same(found: TopK, expected: TopK) -> int:
    """Users whose items and scores are equal to the last bit."""
    equal = (found.items == expected.items) & (found.scores == expected.scores)
    return int(equal.all(dim=1).sum())


def recall(found: TopK, expected: TopK) -> float:
    """Share of the true best that are found."""
    pairs = zip(found.items, expected.items, strict=True)
    return float(torch.stack([torch.isin(true, own).double().mean() for own, true in pairs]).mean())


def bare_products(table: ItemTable, users: Tensor) -> None:
    """Scores of both modalities and the ids, in the blocks of the exact search, and no more."""
    vectors = table.vectors
    assert vectors.ids is not None
    for start in range(0, len(table), ExactSearch.items_per_block):
        part = slice(start, start + ExactSearch.items_per_block)
        for matrix in (*vectors.tokens, vectors.ids):
            users @ matrix[part].T


def searched(search: Search, users: Tensor) -> TopK:
    """The best of all users, some at a time."""
    parts = [search.top_k(some, k=K, wanted=Wanted()) for some in users.split(USERS_AT_ONCE)]
    return TopK(torch.cat([part.items for part in parts]), torch.cat([p.scores for p in parts]))


def measure(
    real: ItemVectors, all_users: Tensor, num_items: int, num_users: int, repeats: int
) -> dict[str, Any]:
    """One size."""
    generator = torch.Generator().manual_seed(1)
    users = all_users[torch.randperm(len(all_users), generator=generator)[:num_users]]
    vectors = repeated(real, num_items)
    key_ranks = torch.randperm(num_items, generator=generator)
    table = ItemTable(vectors, key_ranks=key_ranks)
    exact = ExactSearch(table)
    figures: dict[str, Any] = {"users": len(users)}
    found = searched(exact, users)
    figures["exact_same"] = sum(
        same(
            TopK(*(part[start : start + USERS_AT_ONCE] for part in found)), brute_force(table, some)
        )
        for start, some in zip(
            range(0, len(users), USERS_AT_ONCE), users.split(USERS_AT_ONCE), strict=True
        )
    )
    if num_items <= FLAT_SIZE:
        flat = BoundedSearch(table, FaissIndex.build(table, description="Flat"), exact=exact)
        figures["flat_same"] = same(searched(flat, users), found)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    start = time.perf_counter()
    with PeakMemory() as memory:
        index = FaissIndex.build(table)
    figures["build_minutes"] = (time.perf_counter() - start) / 60
    figures["build_gigabytes"] = memory.gigabytes - memory.before
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder) / "index")
        num_bytes = (Path(folder) / "index" / "index.faiss").stat().st_size
    figures["index_over_float32_rows"] = num_bytes / (4 * num_items * CatalogueRows(table).width)
    approximate = BoundedSearch(table, index, exact=exact)
    figures["recall"] = recall(searched(approximate, users), found)
    batch = users[:USERS_AT_ONCE]
    over_products, faster = [], []
    for _ in range(repeats):
        products = cpu_seconds(lambda: bare_products(table, batch))
        one = cpu_seconds(lambda: searched(exact, batch))
        other = cpu_seconds(lambda: searched(approximate, batch))
        over_products.append(one / products)
        faster.append(one / other)
    figures["exact_milliseconds_per_user"] = 1000 * one / len(batch)
    figures["exact_over_products"] = statistics.median(over_products)
    figures["exact_over_faiss"] = statistics.median(faster)
    return figures


def import_seconds(module: str) -> float:
    """CPU seconds of a fresh process that imports a module and no more."""
    program = f"import time, {module}; print(time.process_time())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Each size in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="*", default=SIZES)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", default="scientific_mm_subset")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    ratios = [
        import_seconds("missrec.retrieval.recommender") / import_seconds("missrec.app.train")
        for _ in range(3)
    ]
    report: dict[str, Any] = {"import_over_train": statistics.median(ratios)}
    torch.set_num_threads(1)
    vectors, users = trained(arguments.data, epochs=arguments.epochs)
    for num_items in arguments.items:
        figures = measure(vectors, users, num_items, arguments.users, arguments.repeats)
        report[str(num_items)] = figures
        print(figures, flush=True)
    write_report("retrieve", report, show=False)
    measured = [report[str(num_items)] for num_items in arguments.items]
    names = max(measured, key=len)
    rows = [[name, *(_shown(figures, name) for figures in measured)] for name in names]
    print_table(f"The best {K}", ["items", *(f"{size:,}" for size in arguments.items)], rows)


def _shown(figures: dict[str, Any], name: str) -> str:
    return f"{figures[name]:.4g}" if name in figures else "-"


if __name__ == "__main__":
    main()
