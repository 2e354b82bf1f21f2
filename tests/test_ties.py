"""Orders of equal values never come from a library: each order in src says what it does with them.

torch's and NumPy's argsort keep no order of ties from 17 elements on, topk never does, and polars
keeps none in sort, unique and group_by unless it is told to; see findings/. Equal scores come by
key, everything else by number.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from missrec.tracking.records import highest_scored
from missrec.types import DomainSpan, SequenceBatch

SRC = Path(__file__).resolve().parents[1] / "src"
JUDGED = {
    ("interests/dpc_knn.py", "topk"): 1,  # which neighbours; they are then sorted, stable
    ("interests/neighbors.py", "topk"): 4,  # the same
    ("report/figures/interests.py", "group_by"): 1,  # sizes, joined to the interests in order
    ("data/splits/files.py", "group_by"): 2,  # a count for each row, joined; within groups in order
    ("serving/asking.py", "group_by"): 1,  # into a dict
    ("features/extraction.py", "sort"): 1,  # counts of outcomes, by outcome
    ("data/sources/timeline.py", "sort"): 1,  # distinct
    ("objectives/scalable.py", "topk"): 2,  # what buckets drawn at random hold; a loss over sets
}
"""Calls whose ties reach nobody, by file and name: how many. Judge a new one before it is here."""

DISTINCT = {"user_id", "item_id", "item_key", "interest", "modality", "rank", "here"}
"""Columns without equal values among rows that agree in those before: an order by them is total."""


def open_orders(source: str) -> list[tuple[str, int]]:
    """Name and line of the calls that leave the order of ties to a library."""
    tree = ast.parse(source)
    values_only = {  # topk(...).values and sort(...).values are the same whatever the ties
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "values"
    }
    found = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        name, given = call.func.attr, {keyword.arg for keyword in call.keywords}
        told = {
            "argsort": given & {"stable", "kind"},
            "topk": call in values_only,
            "top_k": False,
            "argpartition": False,
            "sort": {"stable", "maintain_order"} & given or call in values_only or _is_total(call),
            "unique": not call.args or {"maintain_order", "dim"} & given or _keeps_none(call),
            "group_by": "maintain_order" in given,
        }.get(name, True)
        if not told and not _is_ours(call):
            found.append((name, call.lineno))
    return found


def _keeps_none(call: ast.Call) -> bool:
    return any(word.arg == "keep" and ast.unparse(word.value) == "'none'" for word in call.keywords)


def _is_total(call: ast.Call) -> bool:
    """Whether a sort is of plain values, or of rows by a column without ties."""
    words = [word for part in call.args for word in getattr(part, "elts", [part])]
    if not words:
        return all(keyword.arg != "dim" for keyword in call.keywords)
    return isinstance(words[-1], ast.Constant) and words[-1].value in DISTINCT


def _is_ours(call: ast.Call) -> bool:
    """`Search.top_k`, `torch.unique`, which sorts, and NumPy's functions of values."""
    assert isinstance(call.func, ast.Attribute)
    owner = ast.unparse(call.func.value)
    if call.func.attr == "top_k":
        return "encoded" in ast.unparse(call)
    return call.func.attr in {"unique", "sort"} and owner in {"torch", "np"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("order = scores.argsort(descending=True)", ["argsort"]),
        ("order = scores.argsort(descending=True, stable=True)", []),
        ("order = np.argsort(lengths)", ["argsort"]),
        ("order = np.argsort(lengths, kind='stable')", []),
        ("best = items[scores.topk(k, dim=1).indices]", ["topk"]),
        ("lowest = scores.topk(k, dim=1).values[:, -1]", []),
        ("values, order = scores.sort(dim=1)", ["sort"]),
        ("values = scores.sort(dim=1).values", []),
        ("table.sort('user_id')", []),
        ("table.sort('score', 'item_id', descending=[True, False])", []),
        ("table.sort('score', descending=True)", ["sort"]),
        ("table.sort('score', maintain_order=True)", []),
        ("table.sort(column)", ["sort"]),
        ("table.unique('url')", ["unique"]),
        ("table.unique('url', keep='first', maintain_order=True)", []),
        ("table.group_by('domain').agg(pl.len())", ["group_by"]),
        ("table.top_k(10, by='score')", ["top_k"]),
        ("search.top_k(encoded, k=k, wanted=wanted)", []),
    ],
)
def test_an_order_that_leaves_ties_to_a_library_is_seen(source: str, names: list[str]) -> None:
    assert [name for name, _ in open_orders(source)] == names


def test_no_order_of_ours_leaves_ties_to_a_library() -> None:
    found: Counter[tuple[str, str]] = Counter()
    for path in (SRC / "missrec").rglob("*.py"):
        name = str(path.relative_to(SRC / "missrec"))
        found.update((name, call) for call, _ in open_orders(path.read_text()))
    assert found == JUDGED


def test_equal_scores_are_shown_by_key() -> None:
    class Levels:
        """Scores of two levels: even items are better."""

        def encode(self, batch: SequenceBatch) -> torch.Tensor:
            return torch.zeros(len(batch.user_ids), 1)

        def candidates(self, item_ids: torch.Tensor) -> torch.Tensor:
            return item_ids

        def score(self, encoded: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
            return (1.0 - items % 2).expand(len(encoded), -1)

    model: Any = Levels()
    numbers = range(5, 45)
    keys = pl.Series([f"key{(7 * number) % 40:02d}" for number in numbers])
    batch = SequenceBatch(torch.arange(3), torch.ones(3, 1, dtype=torch.int64), torch.ones(3))
    span = DomainSpan("tiny", 5, 44)
    found = highest_scored(model, batch, span, keys=keys, count=30, items_at_once=7)
    key_of = dict(zip(numbers, keys, strict=True))
    by_score = sorted(numbers, key=lambda number: (number % 2, key_of[number]))
    assert found.tolist() == [by_score[:30]] * 3
