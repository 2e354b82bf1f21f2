from __future__ import annotations

import torch

from missrec.nn.pooling import last_valid, masked_mean

EMBEDDINGS = torch.tensor(
    [
        [[1.0, 2.0], [3.0, 6.0], [50.0, 50.0]],
        [[50.0, 50.0], [-4.0, 1.0], [50.0, 50.0]],
        [[50.0, 50.0], [50.0, 50.0], [50.0, 50.0]],
    ]
)
VALID_MASK = torch.tensor([[True, True, False], [False, True, False], [False, False, False]])


def test_mean_over_the_valid_entries_by_hand() -> None:
    by_hand = [[(1 + 3) / 2, (2 + 6) / 2], [-4.0, 1.0], [0.0, 0.0]]
    assert masked_mean(EMBEDDINGS, VALID_MASK).tolist() == by_hand


def test_gradient_is_shared_by_the_valid_entries() -> None:
    embeddings = EMBEDDINGS.clone().requires_grad_()
    masked_mean(embeddings, VALID_MASK).sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad[..., 0].tolist() == [[1 / 2, 1 / 2, 0], [0, 1, 0], [0, 0, 0]]


RIGHT_PADDED = torch.tensor(
    [[True, True, False], [True, False, False], [True, True, True], [False, False, False]]
)


def test_the_last_valid_entry_by_hand() -> None:
    embeddings = torch.arange(24.0).view(4, 3, 2)  # entry l of row b: 6 b + 2 l, and 1 more
    by_hand = [[2, 3], [6, 7], [12 + 4, 12 + 5], [18, 19]]  # the first if none is valid
    assert last_valid(embeddings, RIGHT_PADDED).tolist() == by_hand


def test_only_the_last_valid_entry_gets_the_gradient() -> None:
    embeddings = torch.zeros(4, 3, 2, requires_grad=True)
    last_valid(embeddings, RIGHT_PADDED).sum().backward()
    assert embeddings.grad is not None
    for column in range(2):
        expected = [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]
        assert embeddings.grad[..., column].tolist() == expected


def test_more_padding_leaves_the_last_valid_entry() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(4, 9, 2, generator=generator)
    valid_mask = torch.arange(9) < torch.tensor([1, 3, 5, 2])[:, None]
    expected = last_valid(embeddings[:, :5], valid_mask[:, :5])
    assert last_valid(embeddings, valid_mask).equal(expected)
