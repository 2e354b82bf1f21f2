"""Adam by rows is Adam where every row is touched, and leaves the others alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from missrec.training.row_adam import RowAdam, learn_rows

NUM_ITEMS = 5


def small_model(*, sparse: bool) -> nn.ModuleDict:
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {"table": nn.Embedding(NUM_ITEMS + 1, 3, padding_idx=0), "head": nn.Linear(3, 2)}
    )
    if sparse:
        learn_rows(model, num_items=NUM_ITEMS)
    return model


def train(model: nn.ModuleDict, optimizer: torch.optim.Optimizer, batches: list[Tensor]) -> None:
    for ids in batches:
        optimizer.zero_grad()
        model["head"](model["table"](ids)).square().sum().backward()
        optimizer.step()


EVERY_ROW = [torch.tensor([1, 2, 3, 4, 5, 5, 2]), torch.tensor([5, 4, 3, 2, 1])] * 3


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("fused", [True, False])
def test_it_is_adam_where_every_row_is_touched(weight_decay: float, *, fused: bool) -> None:
    models = [small_model(sparse=True), small_model(sparse=False)]
    for model, kind in zip(models, (RowAdam, torch.optim.Adam), strict=True):
        optimizer = kind(model.parameters(), lr=0.1, weight_decay=weight_decay, fused=fused)
        train(model, optimizer, EVERY_ROW)
    rows = models[0]["table"].weight, models[1]["table"].weight
    torch.testing.assert_close(rows[0][1:], rows[1][1:])
    torch.testing.assert_close(models[0]["head"].weight, models[1]["head"].weight)


def test_rows_that_were_not_looked_up_and_their_moments_stay() -> None:
    model = small_model(sparse=True)
    optimizer = RowAdam(model.parameters(), lr=0.1)
    train(model, optimizer, EVERY_ROW[:1])
    before = model["table"].weight.detach().clone()
    moments = optimizer.state[model["table"].weight]["exp_avg"].clone()
    train(model, optimizer, [torch.tensor([2, 4, 4])])
    moved = (model["table"].weight != before).any(dim=1)
    changed = (optimizer.state[model["table"].weight]["exp_avg"] != moments).any(dim=1)
    assert moved.tolist() == changed.tolist() == [False, False, True, False, True, False]


def test_only_tables_of_the_items_give_sparse_gradients() -> None:
    model = nn.ModuleDict({"table": nn.Embedding(6, 2), "positions": nn.Embedding(7, 2)})
    learn_rows(model, num_items=NUM_ITEMS)
    assert (model["table"].sparse, model["positions"].sparse) == (True, False)


@pytest.mark.parametrize("fused", [True, False])
def test_a_state_that_was_saved_and_loaded_goes_on_alike(*, fused: bool) -> None:
    batches = [torch.tensor([1, 2]), torch.tensor([2, 3]), torch.tensor([1, 5])]
    straight = small_model(sparse=True)
    optimizer = RowAdam(straight.parameters(), lr=0.1, fused=fused)
    train(straight, optimizer, batches)
    stopped = small_model(sparse=True)
    first = RowAdam(stopped.parameters(), lr=0.1, fused=fused)
    train(stopped, first, batches[:2])
    second = RowAdam(stopped.parameters(), lr=0.1, fused=fused)
    second.load_state_dict(first.state_dict())
    train(stopped, second, batches[2:])
    for one, other in zip(straight.parameters(), stopped.parameters(), strict=True):
        assert one.equal(other)


def test_dense_gradients_of_a_table_are_adams() -> None:
    models = [small_model(sparse=False), small_model(sparse=False)]
    for model, kind in zip(models, (RowAdam, torch.optim.Adam), strict=True):
        train(model, kind(model.parameters(), lr=0.1), EVERY_ROW)
    assert models[0]["table"].weight.equal(models[1]["table"].weight)
