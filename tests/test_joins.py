"""Joins of lazy frames say what order their rows come in: polars 2 streams, and keeps none.

See findings/polars_lazy_join_loses_order.sh.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"


def unordered_joins(source: str) -> list[int]:
    """Lines of the joins of tables without `maintain_order`, in a file that uses lazy frames."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {ast.unparse(call.func).rpartition(".")[2] for call in calls}
    if "LazyFrame" not in source and not any(n == "lazy" or n.startswith("scan_") for n in names):
        return []
    found = []
    for call in calls:
        given = {keyword.arg for keyword in call.keywords}
        is_join = isinstance(call.func, ast.Attribute) and call.func.attr == "join"
        by_keys = len(call.args) > 1 or bool(given & {"on", "left_on", "right_on"})
        if is_join and by_keys and "maintain_order" not in given:
            found.append(call.lineno)
    return found


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("a.lazy().join(b.lazy(), on='k', how='left')", [1]),
        ("x = pl.scan_parquet(p)\ny = x.join(z, left_on='a', right_on='b')", [2]),
        ("a.lazy().join(b, on='k', how='semi')", [1]),
        ("a.lazy().join(b.lazy(), 'k', 'left')", [1]),
        ("def f(a: pl.LazyFrame, b: pl.LazyFrame):\n    return a.join(b, on='k')", [2]),
        ("a.lazy().join(b, on='k', how='left', maintain_order='left')", []),
        ("a.join(b, on='k', how='left')", []),
        ("a.lazy()\n', '.join(names)", []),
    ],
)
def test_a_join_that_would_lose_the_order_is_seen(source: str, lines: list[int]) -> None:
    assert unordered_joins(source) == lines


def test_no_join_of_ours_loses_the_order_of_its_rows() -> None:
    found = {str(p.relative_to(SRC)): unordered_joins(p.read_text()) for p in SRC.rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}
