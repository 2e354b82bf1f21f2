from __future__ import annotations

import pytest
import torch
from torch import Tensor

from missrec.objectives.cloze import ClozeMask

LENGTHS = [6, 1, 3, 4]


def valid_mask(lengths: list[int], width: int) -> Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def drawn(*, mask_prob: float, last_only_prob: float, times: int = 500) -> Tensor:
    """(times, B, L) what is hidden of sequences of `LENGTHS`, padded to 7."""
    torch.manual_seed(0)
    cloze = ClozeMask(mask_prob=mask_prob, last_only_prob=last_only_prob)
    return torch.stack([cloze(valid_mask(LENGTHS, 7)) for _ in range(times)])


@pytest.mark.parametrize("mask_prob", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("last_only_prob", [0.0, 0.5, 1.0])
def test_every_sequence_has_something_hidden_and_padding_never_is(
    mask_prob: float, last_only_prob: float
) -> None:
    hidden = drawn(mask_prob=mask_prob, last_only_prob=last_only_prob)
    assert hidden.any(dim=2).all()
    assert not hidden[:, ~valid_mask(LENGTHS, 7)].any()


def test_without_a_share_exactly_one_item_is_hidden_each_as_often() -> None:
    hidden = drawn(mask_prob=0.0, last_only_prob=0.0, times=3000)
    assert hidden.sum(dim=2).eq(1).all()
    for row, length in enumerate(LENGTHS):
        share = hidden[:, row, :length].float().mean(dim=0)
        torch.testing.assert_close(share, torch.full((length,), 1 / length), atol=0.03, rtol=0)


def test_items_are_hidden_with_their_probability_but_for_one_where_none_was() -> None:
    prob = 0.3
    hidden = drawn(mask_prob=prob, last_only_prob=0.0, times=3000)
    for row, length in enumerate(LENGTHS):
        # Drawn itself, or chosen where nobody was drawn.
        expected = prob + (1 - prob) ** length / length
        share = hidden[:, row, :length].float().mean(dim=0)
        torch.testing.assert_close(share, torch.full((length,), expected), atol=0.03, rtol=0)


def test_a_share_of_one_hides_everything() -> None:
    hidden = drawn(mask_prob=1.0, last_only_prob=0.0)
    assert hidden.equal(valid_mask(LENGTHS, 7).expand_as(hidden))


def test_the_last_item_alone_is_hidden_as_often_as_asked_for() -> None:
    hidden = drawn(mask_prob=1.0, last_only_prob=0.25, times=3000)[:, [0, 2, 3]]
    last = torch.zeros(3, 7, dtype=torch.bool)
    last[[0, 1, 2], [5, 2, 3]] = True
    share = hidden.eq(last).all(dim=2).float().mean(dim=0)
    torch.testing.assert_close(share, torch.full((3,), 0.25), atol=0.03, rtol=0)
    always = drawn(mask_prob=0.2, last_only_prob=1.0)[:, [0, 2, 3]]
    assert always.equal(last.expand_as(always))


def test_masks_come_from_the_default_generator() -> None:
    first, again = (drawn(mask_prob=0.4, last_only_prob=0.2) for _ in range(2))
    assert first.equal(again)
    assert not first[0].equal(first[1])


@pytest.mark.parametrize("name", ["mask_prob", "last_only_prob"])
@pytest.mark.parametrize("prob", [-0.1, 1.1])
def test_a_probability_outside_its_range_is_refused(name: str, prob: float) -> None:
    probs = {"mask_prob": 0.2, "last_only_prob": 0.5, name: prob}
    with pytest.raises(ValueError, match=rf"{name} \({prob}\) must be in \[0, 1\]"):
        ClozeMask(**probs)
