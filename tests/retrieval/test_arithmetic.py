from __future__ import annotations

import math

import pytest
import torch

from missrec.retrieval.arithmetic import exp, fusion_weights, inner


def test_exp_is_that_of_the_library_to_its_last_bits() -> None:
    exponents = -torch.logspace(-12, math.log10(708), 20_001, dtype=torch.float64)
    torch.testing.assert_close(exp(exponents), exponents.exp(), rtol=1e-15, atol=0)
    special = torch.tensor([0.0, -0.0, -709.0, -math.inf], dtype=torch.float64)
    assert exp(special).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("width", [0, 1, 2, 3, 7, 300])
def test_inner_products_are_those_of_exact_sums(width: int) -> None:
    users, vectors = torch.randn(2, 20, width, generator=torch.Generator().manual_seed(0))
    expected = [
        math.fsum(a * b for a, b in zip(user, vector, strict=True))
        for user, vector in zip(users.tolist(), vectors.tolist(), strict=True)
    ]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(inner(users, vectors), expected, rtol=1e-13, atol=1e-14)


def test_a_result_does_not_depend_on_what_stands_beside_it() -> None:
    generator = torch.Generator().manual_seed(0)
    users, vectors = torch.randn(2, 1001, 301, generator=generator)
    products = inner(users, vectors)
    scores = torch.stack([products, products.flip(0), products.roll(7)])
    present = torch.rand(scores.shape, generator=generator) > 0.3
    weights = fusion_weights(scores, present, torch.tensor(1.7))
    for start, stop in [(0, 1), (5, 7), (3, 1001), (998, 1001), (1000, 1001)]:
        some = slice(start, stop)
        assert inner(users[some], vectors[some]).equal(products[some])
        part = fusion_weights(scores[:, some], present[:, some], torch.tensor(1.7))
        assert part.equal(weights[:, some])


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (0.0, [0.5, 0.5, 0.0]),
        (1.0, [1 / (1 + math.e), math.e / (1 + math.e), 0.0]),
        (-1.0, [math.e / (1 + math.e), 1 / (1 + math.e), 0.0]),
        (math.inf, [0.0, 1.0, 0.0]),
        (-math.inf, [1.0, 0.0, 0.0]),
        (1e30, [0.0, 1.0, 0.0]),
    ],
)
def test_weights_are_the_softmax_over_what_is_present(alpha: float, expected: list[float]) -> None:
    scores = torch.tensor([[2.0], [3.0], [9.0]], dtype=torch.float64)
    present = torch.tensor([[True], [True], [False]])
    weights = fusion_weights(scores, present, torch.tensor(alpha)).squeeze(1)
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64))
    none = fusion_weights(scores, torch.zeros_like(present), torch.tensor(alpha))
    assert not none.any()
