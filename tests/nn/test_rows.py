from __future__ import annotations

import torch

from missrec.nn.rows import Rows

MASK = torch.tensor([[True, True, False], [False, False, False], [True, False, False]])
PADDED = torch.arange(18.0).view(3, 3, 2)
# An empty sequence has rows for its padding: attention reads it evenly.
EXPECTED = [[0, 1], [2, 3], [6, 7], [8, 9], [10, 11], [12, 13]]


def test_rows_are_the_real_entries_sequence_after_sequence() -> None:
    rows = Rows.of(MASK)
    assert rows.take(PADDED).tolist() == EXPECTED
    assert rows.mask.tolist() == [[True, True, False], [True] * 3, [True, False, False]]


def test_rows_go_back_to_their_places_and_padding_is_zero() -> None:
    rows = Rows.of(MASK)
    spread = rows.spread(rows.take(PADDED))
    torch.testing.assert_close(spread, PADDED * rows.mask[..., None])


def test_gradients_pass_both_ways_and_padding_gets_none() -> None:
    padded, rows = PADDED.clone().requires_grad_(), Rows.of(MASK)
    (rows.spread(rows.take(padded)) * PADDED).sum().backward()
    assert padded.grad is not None
    torch.testing.assert_close(padded.grad, PADDED * rows.mask[..., None])


def test_all_entries_are_rows_where_there_is_no_padding_or_somebody_reads_it() -> None:
    for rows in (Rows.of(torch.ones(3, 3, dtype=torch.bool)), Rows.of(MASK, with_padding=True)):
        assert rows.places is None
        assert rows.take(PADDED).tolist() == PADDED.flatten(0, 1).tolist()
        assert rows.spread(rows.take(PADDED)).equal(PADDED)


def test_nothing_but_places_is_kept_for_the_backward() -> None:
    padded, rows = PADDED.clone().requires_grad_(), Rows.of(MASK)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
    ):
        rows.spread(rows.take(padded))
    assert {tensor.dtype for tensor in kept} == {torch.int64}
