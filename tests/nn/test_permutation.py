from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from missrec.nn.permutation import (
    CodewordPermutation,
    LearnedPermutation,
    nearest_permutation,
    sinkhorn,
)

NUM_CODEBOOKS, NUM_CODEWORDS, WIDTH = 3, 5, 4


def learned(**changes: Any) -> LearnedPermutation:
    settings: dict[str, Any] = {
        "num_codebooks": NUM_CODEBOOKS,
        "num_codewords": NUM_CODEWORDS,
        "temperature": 0.7,
        "num_iterations": 3,
        "init_std": 1.0,
    }
    torch.manual_seed(0)
    return LearnedPermutation(**{**settings, **changes})


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def permuted(table: Tensor, columns: Tensor) -> Tensor:
    """Row w of codebook g is the row columns[g, w] of the table."""
    books = [
        torch.stack([book[column] for column in row])
        for book, row in zip(table, columns.tolist(), strict=True)
    ]
    return torch.stack(books)


def test_sinkhorn_is_the_scaling_of_columns_and_rows_in_turn() -> None:
    logits = normal(1, 4, 4)
    matrix = logits[0].exp().tolist()
    for _ in range(3):
        sums = [sum(row[column] for row in matrix) for column in range(4)]
        matrix = [[row[column] / sums[column] for column in range(4)] for row in matrix]
        matrix = [[value / sum(row) for value in row] for row in matrix]
    torch.testing.assert_close(sinkhorn(logits, num_iterations=3)[0], torch.tensor(matrix))


@pytest.mark.parametrize("spread", [1.0, 10.0])
def test_rows_and_columns_sum_to_one(spread: float) -> None:
    logits = spread * normal(3, 6, 6, seed=1).double()
    matrices = sinkhorn(logits, num_iterations=500)
    ones = torch.ones(3, 6).double()
    torch.testing.assert_close(matrices.sum(dim=2), ones)
    torch.testing.assert_close(matrices.sum(dim=1), ones, rtol=0, atol=1e-2)
    assert (matrices >= 0).all()


def test_few_iterations_are_near_the_limit() -> None:
    module = learned(num_codewords=64)
    matrices = module.relaxed()
    torch.testing.assert_close(matrices.sum(dim=2), torch.ones(3, 64))
    assert (matrices.sum(dim=1) - 1).abs().mean() < 0.1
    assert not matrices.equal(module.relaxed())  # the noise is drawn anew


def test_large_logits_give_the_nearest_permutation() -> None:
    logits = normal(4, 4, 4, seed=7).double()
    matrices = sinkhorn(100 * logits, num_iterations=2000)
    expected = torch.nn.functional.one_hot(nearest_permutation(logits), 4).double()
    torch.testing.assert_close(matrices, expected, rtol=0, atol=0.02)


def test_the_nearest_permutation_has_the_largest_sum_of_all() -> None:
    logits = normal(4, 5, 5, seed=2)
    for matrix, columns in zip(logits, nearest_permutation(logits), strict=True):
        sums = {
            order: sum(matrix[row, column].item() for row, column in enumerate(order))
            for order in itertools.permutations(range(5))
        }
        assert tuple(columns.tolist()) == max(sums, key=lambda order: sums[order])


def test_in_evaluation_the_rows_of_the_table_are_permuted() -> None:
    module = learned().eval()
    table = normal(NUM_CODEBOOKS, NUM_CODEWORDS, WIDTH)
    columns = nearest_permutation(module.logits.detach())
    assert columns.sort(dim=1).values.equal(torch.arange(5).expand(3, 5))
    assert module(table).equal(permuted(table, columns))


def test_in_training_the_table_is_multiplied_by_the_relaxed_matrices() -> None:
    module = learned().train()
    table = normal(NUM_CODEBOOKS, NUM_CODEWORDS, WIDTH)
    torch.manual_seed(3)
    mixed = module(table)
    torch.manual_seed(3)
    torch.testing.assert_close(mixed, torch.einsum("gvw,gwd->gvd", module.relaxed(), table))
    mixed.square().sum().backward()
    assert module.logits.grad is not None
    assert module.logits.grad.ne(0).any()


def test_a_planted_permutation_is_recovered() -> None:
    module = learned(init_std=0.1).train()
    table = normal(NUM_CODEBOOKS, NUM_CODEWORDS, WIDTH)
    planted = torch.tensor([[3, 1, 4, 0, 2], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
    target = permuted(table, planted)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    assert not module.permutation.equal(planted)
    for _ in range(200):
        optimizer.zero_grad()
        (module(table) - target).square().sum().backward()
        optimizer.step()
    module.eval()
    assert module.permutation.equal(planted)
    assert module(table).equal(target)


def test_what_was_learned_is_held_by_a_permutation_that_does_not_learn() -> None:
    table = normal(NUM_CODEBOOKS, NUM_CODEWORDS, WIDTH)
    held = CodewordPermutation(num_codebooks=NUM_CODEBOOKS, num_codewords=NUM_CODEWORDS)
    assert held(table).equal(table)
    module = learned().eval()
    assert not module(table).equal(table)
    held.load_state_dict({"permutation": module.state_dict()["permutation"]})
    assert held.train()(table).equal(module(table))
    assert not list(held.parameters())


def test_what_training_changes_is_rounded_when_it_ends() -> None:
    module = learned().train()
    before = module.permutation.clone()
    with torch.no_grad():
        module.logits.copy_(normal(3, 5, 5, seed=4))
    assert module.permutation.equal(before)
    module.eval()
    assert not module.permutation.equal(before)
    assert module.permutation.equal(nearest_permutation(module.logits.detach()))


def test_a_checkpoint_of_training_holds_the_permutation_of_its_logits() -> None:
    module = learned().train()
    with torch.no_grad():
        module.logits.copy_(normal(3, 5, 5, seed=4))
    saved = module.state_dict()
    assert saved["permutation"].equal(nearest_permutation(saved["logits"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, r"temperature \(0.0\) must be above 0"),
        ({"num_iterations": 0}, r"num_iterations \(0\) must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learned(**changes)
