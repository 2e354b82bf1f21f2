from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from item_vectors import random_users, random_vectors
from missrec.retrieval.rows import CatalogueRows
from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors

NUM_ITEMS = 30
CASES: dict[str, dict[str, Any]] = {
    "shared": {"alpha": 1.5, "modality_weight": 2 / 3},
    "mean": {"alpha": 0.0},
    "max": {"alpha": math.inf},
    "falling": {"alpha": -2.0},
    "negative weight": {"alpha": 2.0, "modality_weight": -0.5},
    "per item": {"alpha": [-1.0, 0.0, 3.0] * 10},
    "three modalities": {"alpha": 4.0, "modalities": ("text", "image", "sound")},
    "one modality": {"modalities": ("text",), "ids": False},
    "ids alone": {"modalities": (), "bias": True},
    "bias alone": {"modalities": (), "ids": False, "bias": True, "width": 0},
}
every_case = pytest.mark.parametrize("case", CASES)


def table_of(case: str, **changes: Any) -> ItemTable:
    ranks = torch.randperm(NUM_ITEMS, generator=torch.Generator().manual_seed(5))
    return ItemTable(random_vectors(NUM_ITEMS, **CASES[case] | changes), key_ranks=ranks)


def all_scores(table: ItemTable, users: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N) totals and (Q, B, N) parts, by item."""
    rows, items = torch.ones(len(users), len(table)).nonzero(as_tuple=True)
    scored = table.pair_scores(users, rows, items)
    shape = (len(users), len(table))
    return scored.total.view(shape), scored.parts.view(-1, *shape)


def naive_score(vectors: ItemVectors, user: Tensor, place: int) -> float:
    alpha = float(vectors.alpha[place] if vectors.alpha.ndim else vectors.alpha)
    scores = [
        float(user.double() @ tokens[place].double())
        for tokens, present in zip(vectors.tokens, vectors.present, strict=True)
        if present[place]
    ]
    if math.isinf(alpha):
        fused = max(scores, default=0.0)
    else:
        votes = [math.exp(alpha * score) for score in scores]
        fused = sum(v * s for v, s in zip(votes, scores, strict=True)) / (sum(votes) or 1.0)
    total = vectors.modality_weight * fused
    if vectors.ids is not None:
        total += float(user.double() @ vectors.ids[place].double())
    return total + (0.0 if vectors.bias is None else float(vectors.bias[place]))


@every_case
def test_scores_follow_the_formula_and_their_parts_add_up(case: str) -> None:
    table = table_of(case)
    users = random_users(4, width=table.width)
    totals, parts = all_scores(table, users)
    for row, user in enumerate(users):
        for item in range(NUM_ITEMS):
            expected = naive_score(table.vectors, user, int(table.places[item]))
            assert totals[row, item].item() == pytest.approx(expected, abs=1e-12)
    assert len(parts) == len(table.parts)
    torch.testing.assert_close(parts.sum(dim=0), totals)


def test_the_parts_are_named() -> None:
    assert table_of("shared", bias=True).parts == ("text", "image", "id", "bias")
    assert table_of("one modality").parts == ("text",)
    assert table_of("bias alone").parts == ("bias",)


@every_case
def test_the_largest_product_of_its_rows_bounds_every_score(case: str) -> None:
    table = table_of(case)
    rows = CatalogueRows(table)
    users = random_users(50, width=table.width)
    blocks = list(rows.blocks(items_per_block=7))
    vectors = torch.cat([block.vectors for block in blocks])
    places = torch.cat([block.places for block in blocks])
    assert vectors.shape == (len(rows), rows.width)
    assert set(places.tolist()) == set(range(NUM_ITEMS))
    products = rows.queries(users).double() @ vectors.double().T  # (B, R)
    bounds = torch.full((len(users), NUM_ITEMS), -math.inf, dtype=torch.float64)
    bounds = bounds.scatter_reduce(1, places.expand(len(users), -1), products, "amax")
    totals, _ = all_scores(table, users)
    by_place = totals[:, table.items]
    assert (by_place <= bounds + 1e-6).all()
    one_row = torch.bincount(places, minlength=NUM_ITEMS) == 1
    if case in {"mean", "one modality", "ids alone", "bias alone"}:
        assert one_row.all()
        torch.testing.assert_close(by_place, bounds, rtol=0, atol=1e-6)
    if case in {"falling", "negative weight"}:
        assert one_row.all()
    if case in {"shared", "max", "three modalities"}:
        counts = table.vectors.present.sum(dim=0).clamp_min(1)
        assert torch.bincount(places, minlength=NUM_ITEMS).equal(counts)


def test_means_are_one_row_an_item_and_bound_where_the_weights_do_not_rise() -> None:
    for case, bound in {"shared": False, "mean": True, "falling": True, "ids alone": True}.items():
        rows = CatalogueRows(table_of(case), means=True)
        assert len(rows) == NUM_ITEMS
        assert rows.are_bounds == bound


def test_rows_of_other_vectors_or_kinds_have_another_signature() -> None:
    first = CatalogueRows(table_of("shared"))
    assert first.signature == CatalogueRows(table_of("shared")).signature
    others = [
        CatalogueRows(table_of("shared", seed=3)),
        CatalogueRows(table_of("shared", alpha=2.0)),
    ]
    others.append(CatalogueRows(table_of("shared"), means=True))
    assert len({rows.signature for rows in [first, *others]}) == 4


class Tokens:
    """A model whose items are rows of a linear map, whose products depend on their number."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.asked: list[int] = []

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        self.asked.append(len(item_ids))
        tokens = self.values[item_ids][None]
        present = torch.ones(1, len(item_ids), dtype=torch.bool)
        return ItemVectors(("text",), tokens, present, torch.tensor(0.0), 1.0, None, None)


def test_vectors_are_computed_in_blocks_of_one_size_in_the_order_of_keys() -> None:
    values = torch.randn(31, 4, generator=torch.Generator().manual_seed(0))
    model, item_ids = Tokens(values), torch.arange(1, 31)
    table = ItemTable.of(model, item_ids, key_ranks=torch.arange(29, -1, -1), items_per_block=8)
    assert model.asked == [8, 8, 8, 8]
    assert table.vectors.tokens[0].equal(values[1:].flip(0))
    users = random_users(2, width=4)
    score = table.pair_scores(users, torch.tensor([1]), torch.tensor([4])).total
    assert score.item() == pytest.approx(float(users[1].double() @ values[5].double()))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_vectors_that_are_not_finite_are_refused(number: float) -> None:
    values = torch.zeros(6, 4)
    values[3, 1] = number
    with pytest.raises(ValueError, match="the model gives tokens of items that are not finite"):
        ItemTable.of(Tokens(values), torch.arange(1, 6), key_ranks=torch.arange(5))


@pytest.mark.parametrize("ranks", [[0, 1, 1], [1, 2, 3], [0, 0, 0]])
def test_ranks_that_are_no_order_are_refused(ranks: list[int]) -> None:
    with pytest.raises(ValueError, match="the ranks of the keys must be 0"):
        ItemTable(random_vectors(3), key_ranks=torch.tensor(ranks))


def test_an_empty_catalogue_is_refused() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(ValueError, match="there are no items to recommend"):
        ItemTable.of(Tokens(torch.zeros(1, 4)), none, key_ranks=none)
