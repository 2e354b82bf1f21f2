from __future__ import annotations

import torch

from missrec.nn.pooling import masked_mean

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
