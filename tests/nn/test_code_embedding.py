from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from missrec.features.codes import ItemCodes
from missrec.nn.code_embedding import CodeEmbedding
from missrec.nn.permutation import CodewordPermutation
from missrec.types import Catalogue
from synthetic import catalogue

NUM_CODEBOOKS, NUM_CODEWORDS, WIDTH = 3, 8, 4
CODEWORDS = [[0, 0, 0], [4, 0, 2], [1, 1, 1], [0, 0, 0], [4, 3, 2], [4, 0, 2]]
"""Of padding and items 1..5; items 1 and 5 have the same."""
LACKING = ((0, 0), (0, 1), (0, 2), (3, 0), (3, 1), (3, 2), (2, 2))
"""Items and the codebooks that they have no codeword of."""
NUM_USED = (5, 4, 5)


class GivenCodes:
    """A coding with ready codes."""

    num_codewords = NUM_CODEWORDS

    def __call__(self, catalogue: Catalogue) -> ItemCodes:
        codewords = torch.tensor(CODEWORDS, dtype=torch.uint8)
        present = torch.ones(6, NUM_CODEBOOKS, dtype=torch.bool)
        present[tuple(torch.tensor(LACKING).T)] = False
        return ItemCodes(codewords, present, torch.tensor(NUM_USED))


def embedding(permutation: Callable[..., CodewordPermutation] | None = None) -> CodeEmbedding:
    torch.manual_seed(0)
    return CodeEmbedding(
        catalogue=catalogue(features={}, num_items=5),
        embed_dim=WIDTH,
        coding=GivenCodes(),
        permutation=permutation,
        init_std=1.0,
    )


def naive(weight: Tensor, item: int) -> Tensor:
    """Eq. 3, one codebook after the other."""
    has = [
        weight[book, codeword]
        for book, codeword in enumerate(CODEWORDS[item])
        if (item, book) not in LACKING
    ]
    return sum(has, torch.zeros(WIDTH)) / max(1, len(has))


def test_an_item_is_the_mean_of_the_embeddings_of_its_codewords() -> None:
    module = embedding()
    item_ids = torch.tensor([[2, 4, 2, 0], [5, 3, 1, 1]])
    embedded = module(item_ids)
    expected = torch.stack(
        [torch.stack([naive(module.weight, item) for item in row]) for row in item_ids.tolist()]
    )
    torch.testing.assert_close(embedded, expected)
    factors = torch.arange(32.0).view(2, 4, 4)
    gradients = [
        torch.autograd.grad((values * factors).sum(), module.weight)[0]
        for values in (embedded, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_items_without_codes_are_zero_and_train_nothing() -> None:
    module = embedding()
    embedded = module(torch.tensor([0, 3]))
    assert embedded.equal(torch.zeros(2, WIDTH))
    embedded.sum().backward()
    assert module.weight.grad is not None
    assert not module.weight.grad.any()


def test_a_permutation_gives_each_codeword_the_embedding_of_another() -> None:
    module = embedding(CodewordPermutation)
    columns = module.permutation.permutation
    columns.copy_(torch.stack([torch.randperm(NUM_CODEWORDS) for _ in range(NUM_CODEBOOKS)]))
    assert columns.shape == (NUM_CODEBOOKS, NUM_CODEWORDS)
    rows = [module.weight[book, columns[book, code]] for book, code in enumerate(CODEWORDS[4])]
    torch.testing.assert_close(module(torch.tensor([4]))[0], torch.stack(rows).mean(dim=0))


def test_no_codeword_is_replaced_with_probability_zero() -> None:
    module, item_ids = embedding(), torch.tensor([4, 3, 1, 4])
    assert module.synthetic(item_ids, prob=0.0).equal(module(item_ids))


def replacements(prob: float) -> Tensor:
    """(20000, G) the codewords of synthetic items made of item 4, read off their embeddings."""
    module = embedding()
    with torch.no_grad():
        # Codeword w of codebook g counts in digit g of the only number that is not 0.
        digits = torch.arange(float(NUM_CODEWORDS)) * 8.0 ** torch.arange(3.0)[:, None]
        module.weight.zero_()
        module.weight[..., 0] = digits
        made = module.synthetic(torch.full((20_000,), 4), prob=prob)
    assert not made[:, 1:].any()
    numbers = (made[:, 0] * NUM_CODEBOOKS).round().long()
    return torch.stack([numbers // 8**book % 8 for book in range(3)], dim=1)


@pytest.mark.parametrize("prob", [0.25, 0.75, 1.0])
def test_each_codeword_is_replaced_by_a_uniform_one_of_its_codebook(prob: float) -> None:
    made = replacements(prob)
    for book, own in enumerate(CODEWORDS[4]):
        shares = made[:, book].bincount(minlength=NUM_CODEWORDS) / len(made)
        num_used = NUM_USED[book]
        expected = torch.full((num_used,), prob / num_used)
        expected[own] += 1 - prob
        torch.testing.assert_close(shares[:num_used], expected, rtol=0, atol=0.015)
        assert not shares[num_used:].any()  # codewords that no item has


def test_codewords_are_replaced_independently() -> None:
    kept = replacements(0.5).eq(torch.tensor(CODEWORDS[4])).float()
    # Kept, or drawn again; of two at once the product.
    each = 0.5 + 0.5 / torch.tensor(NUM_USED)
    together = each[:, None] * each
    both = kept.T @ kept / len(kept)
    apart = ~torch.eye(3, dtype=torch.bool)
    torch.testing.assert_close(both[apart], together[apart], rtol=0, atol=0.015)


def test_a_synthetic_item_of_an_item_without_codes_is_zero() -> None:
    assert embedding().synthetic(torch.tensor([3, 0]), prob=1.0).equal(torch.zeros(2, WIDTH))
