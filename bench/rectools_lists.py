"""What RecTools makes of random lists, for tests/metrics/test_beyond_accuracy.py to compare with.

.venv/bin/uv run --no-project --with rectools==0.19.0 python bench/rectools_lists.py

RecTools 0.19 asks for another numpy than this project, so it runs in an environment of its own, and
what it says is kept. Writes tests/metrics/rectools_lists.json: the cases, and each metric at each k
for every user and in the mean.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rectools
from rectools import Columns
from rectools.metrics import (
    AvgRecPopularity,
    CatalogCoverage,
    IntraListDiversity,
    MeanInvUserFreq,
    PairwiseDistanceCalculator,
    Serendipity,
)

PLACE = Path(__file__).resolve().parents[1] / "tests" / "metrics" / "rectools_lists.json"
COMMAND = "uv run --no-project --with rectools==0.19.0 python bench/rectools_lists.py"
FEATURE_WIDTH = 3
SIZES = [(1, 1, 1), (1, 6, 4), (5, 1, 1), (2, 3, 3), (4, 5, 5), (6, 9, 4), (8, 14, 6), (12, 20, 10)]
"""Users, items and places; each twice."""


class Cosine(PairwiseDistanceCalculator):
    """1 - cosine; NaN where an item has no features, or features of length 0."""

    def __init__(self, features: dict[int, list[float]]) -> None:
        self._features = features

    def _get_distances_for_item_pairs(self, items_0: Any, items_1: Any) -> np.ndarray:
        return np.array([self._distance(*pair) for pair in zip(items_0, items_1, strict=True)])

    def _distance(self, first: int, second: int) -> float:
        pair = [np.array(self._features.get(item, [0.0])) for item in (first, second)]
        lengths = [np.linalg.norm(vector) for vector in pair]
        return 1 - float(np.dot(*pair)) / float(np.prod(lengths)) if all(lengths) else np.nan


def random_case(rng: np.random.Generator, num_users: int, num_items: int, k: int) -> dict[str, Any]:
    """Lists of 0 to k items; counts that tie; items that nobody had, or that lack features."""
    lists = [
        rng.permutation(np.arange(1, num_items + 1))[: rng.integers(0, k + 1)].tolist()
        for _ in range(num_users)
    ]
    lists[0] = lists[0] or [1]  # RecTools has no word for no list at all
    had = rng.integers(1, max(2, num_items - 2), size=(rng.integers(3, 30), 1))
    users = rng.integers(0, num_users + 2, size=(len(had), 1))  # some have no list
    targets = [
        int(rng.choice(own)) if own and rng.random() < 0.7 else int(rng.integers(1, num_items + 1))
        for own in lists
    ]
    values = rng.integers(-2, 3, size=(num_items, FEATURE_WIDTH))
    values[rng.random(num_items) < 0.15] = 0
    kept = rng.random(num_items) < 0.8
    return {
        "num_items": num_items,
        "lists": lists,
        "targets": targets,
        "interactions": np.hstack([users, had]).tolist(),
        "features": {int(item) + 1: values[item].tolist() for item in np.flatnonzero(kept)},
    }


def said_of(case: dict[str, Any], k: int) -> dict[str, Any]:
    """Metric -> its mean, if any user has a value, and the value of each who has one."""
    rows = [
        (user, item, place)
        for user, own in enumerate(case["lists"])
        for place, item in enumerate(own, start=1)
    ]
    lists = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, Columns.Rank])
    pair = [Columns.User, Columns.Item]
    before = pd.DataFrame(case["interactions"], columns=pair)
    taken = pd.DataFrame(list(enumerate(case["targets"])), columns=pair)
    catalog = range(1, case["num_items"] + 1)
    distances = Cosine({int(item): own for item, own in case["features"].items()})
    by_user = {
        "popularity": AvgRecPopularity(k).calc_per_user(lists, before),
        "novelty": MeanInvUserFreq(k).calc_per_user(lists, before),
        "diversity": IntraListDiversity(k, distance_calculator=distances).calc_per_user(lists),
        "serendipity": Serendipity(k).calc_per_user(lists, taken, before, catalog),
    }
    return {
        "coverage": float(CatalogCoverage(k, normalize=True).calc(lists, catalog)),
        **{
            name: {
                "mean": [float(values.mean())] if values.notna().any() else [],
                "by_user": {int(user): float(v) for user, v in values.items() if not np.isnan(v)},
            }
            for name, values in by_user.items()
        },
    }


def main() -> None:
    rng = np.random.default_rng(0)
    cases = [random_case(rng, *sizes) for sizes in SIZES for _ in range(2)]
    for case in cases:
        longest = max(map(len, case["lists"]))
        case["said"] = {k: said_of(case, k) for k in sorted({1, 2, longest, longest + 3})}
    made = {"rectools": rectools.__version__, "command": COMMAND, "cases": cases}
    PLACE.write_text(json.dumps(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
