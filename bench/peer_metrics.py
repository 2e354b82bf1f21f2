"""One worked example, measured by the metrics of other libraries; writes docs/metrics.md's table.

make peers                       # makes .venv-peers with the libraries, and runs this in it
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
warnings.simplefilter("ignore")

import numpy as np
import pandas as pd
import torch
from between import markdown_table, write_between

from missrec.metrics.ranking import per_user_metrics

K = 10
PAGE = ROOT / "docs" / "metrics.md"


class Case(NamedTuple):
    """A user: the items of the list, best first, their scores, and what was held out.

    Attributes:
        title: of the column.
        items: of the list; item 0 and, where there are two, item 2 are held out.
        scores: falling, or all the same.
        held_out: the items.
    """

    title: str
    items: Sequence[int]
    scores: Sequence[float]
    held_out: Sequence[int]


FALLING = [1 - place / 20 for place in range(K)]
CASES = [
    Case("first of 10", range(K), FALLING, [0]),
    Case("second", [1, 0, *range(2, K)], FALLING, [0]),
    Case("two held out, first and third", range(K), FALLING, [0, 2]),
    Case("first, in a list of 1", [0], [1.0], [0]),
    Case("first, all scores below 0", range(K), [score - 2 for score in FALLING], [0]),
    Case("first and second, twice the same item", [0, 0, *range(2, K)], FALLING, [0]),
    Case("one of 16 equal scores", range(16), [1.0] * 16, [0]),
]


def ours(case: Case) -> float | None:
    """Of the rank among all items: there is one target, and no item comes twice."""
    if len(case.held_out) > 1 or len(set(case.items)) < len(case.items):
        return None
    scores = dict(zip(case.items, case.scores, strict=True))
    target = scores.pop(case.held_out[0])
    greater = torch.tensor([sum(score > target for score in scores.values())])
    equal = torch.tensor([sum(score == target for score in scores.values())])
    return per_user_metrics(greater, equal, cutoffs=[K])[f"ndcg@{K}"].item()


def rectools(case: Case, *, divide_by_achievable: bool = False) -> float:
    """Reads ranks, no scores."""
    from rectools import Columns
    from rectools.metrics import NDCG

    ranks = range(1, len(case.items) + 1)
    lists = pd.DataFrame({Columns.User: 1, Columns.Item: list(case.items), Columns.Rank: ranks})
    held_out = pd.DataFrame({Columns.User: 1, Columns.Item: list(case.held_out)})
    return float(NDCG(k=K, divide_by_achievable=divide_by_achievable).calc(lists, held_out))


def rectools_achievable(case: Case) -> float:
    """With the setting that makes it the usual one."""
    return rectools(case, divide_by_achievable=True)


def lenskit(case: Case) -> float:
    """Reads the order of a list."""
    from lenskit.data import ItemList
    from lenskit.metrics import NDCG

    lists = ItemList(item_ids=list(case.items), scores=list(case.scores), ordered=True)
    return float(NDCG(K).measure_list(lists, ItemList(item_ids=list(case.held_out))))


def ranx(case: Case) -> float:
    """Reads scores, by document."""
    from ranx import Qrels, Run, evaluate

    names = [f"item{item:02d}" for item in case.items]
    run = Run({"user": dict(zip(names, map(float, case.scores), strict=True))})
    held_out = Qrels({"user": {f"item{item:02d}": 1 for item in case.held_out}})
    return float(evaluate(held_out, run, f"ndcg@{K}"))


def replay(case: Case) -> float:
    """Reads scores, row by row."""
    from replay.metrics import NDCG

    lists = pd.DataFrame({"query_id": 1, "item_id": list(case.items), "rating": case.scores})
    held_out = pd.DataFrame({"query_id": 1, "item_id": list(case.held_out)})
    (value,) = NDCG(K)(lists, held_out).values()
    return float(value)


def torchmetrics(case: Case) -> float:
    """Reads scores, and whether each place is right."""
    from torchmetrics.functional.retrieval import retrieval_normalized_dcg

    is_right = torch.tensor([item in case.held_out for item in case.items])
    return float(retrieval_normalized_dcg(torch.tensor(case.scores), is_right, top_k=K))


def implicit(case: Case) -> float | None:
    """Asks a model for its list, which is never shorter than it asks for."""
    if len(case.items) < K:
        return None
    from implicit.evaluation import ranking_metrics_at_k
    from scipy.sparse import csr_matrix

    class Lists:
        def recommend(self, users: np.ndarray, *_: object, N: int = K, **__: object) -> object:  # noqa: N803
            ids = np.array([list(case.items)[:N]], dtype=np.int32)
            return ids, np.array([list(case.scores)[:N]], dtype=np.float32)

    columns = list(case.held_out)
    shape = (1, max(*case.items, *columns, 1) + 1)
    held_out = csr_matrix((np.ones(len(columns)), ([0] * len(columns), columns)), shape=shape)
    nothing = csr_matrix(shape)
    found = ranking_metrics_at_k(Lists(), nothing, held_out, K=K, show_progress=False)
    return float(found["ndcg"])


def recbole(case: Case) -> float:
    """Reads which places of a list are right, and how many there are to find."""
    from recbole.evaluator.collector import DataStruct
    from recbole.evaluator.metrics import NDCG

    vars(np).setdefault("float", float)  # a name that NumPy has no longer
    is_right = [int(item in case.held_out) for item in case.items][:K]
    is_right += [0] * (K - len(is_right))
    collected = DataStruct()
    collected.set("rec.topk", torch.tensor([[*is_right, len(case.held_out)]]))
    metric = NDCG({"topk": [K], "metric_decimal_place": 6})
    return float(metric.calculate_metric(collected)[f"ndcg@{K}"])


PEERS: dict[str, tuple[str | None, Callable[[Case], float | None]]] = {
    "this project": (None, ours),
    "RecBole": ("recbole", recbole),
    "RecTools": ("rectools", rectools),
    "RecTools, `divide_by_achievable`": ("rectools", rectools_achievable),
    "LensKit": ("lenskit", lenskit),
    "ranx": ("ranx", ranx),
    "RePlay": ("replay-rec", replay),
    "torchmetrics": ("torchmetrics", torchmetrics),
    "implicit": ("implicit", implicit),
}


def main() -> None:
    """Writes the table between the markers of the page."""
    columns = [f"NDCG@{K}", "version", *(case.title for case in CASES)]
    rows = [
        [name, version(package) if package else "", *(_shown(measure(case)) for case in CASES)]
        for name, (package, measure) in PEERS.items()
    ]
    write_between(PAGE, "peers", markdown_table(columns, rows))


def _shown(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–" if value is None else "NaN"  # noqa: RUF001
    return f"{value:.4f}"


if __name__ == "__main__":
    main()
