from __future__ import annotations

import pytest
import torch

from missrec.nn.augmentation import drop_items

ITEM_IDS = torch.tensor([[4, 9, 2, 9, 7], [3, 3, 0, 0, 0], [8, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


def naive_drop(item_ids: list[int], draws: list[float], prob: float) -> list[int]:
    """One history, item by item."""
    items = [item for item in item_ids if item]
    kept = [item for item, draw in zip(items, draws, strict=False) if draw >= prob] or items[-1:]
    return kept + [0] * (len(item_ids) - len(kept))


@pytest.mark.parametrize("prob", [0.2, 0.7, 0.99])
def test_items_go_one_by_one_and_the_others_move_up(prob: float) -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        dropped = drop_items(ITEM_IDS, prob=prob)
        torch.manual_seed(seed)
        draws = torch.rand(ITEM_IDS.shape).tolist()
        rows = zip(ITEM_IDS.tolist(), draws, strict=True)
        assert dropped.tolist() == [naive_drop(*row, prob) for row in rows]


def test_the_last_item_stays_where_all_would_go() -> None:
    torch.manual_seed(0)
    dropped = torch.stack([drop_items(ITEM_IDS, prob=0.999) for _ in range(50)])
    assert dropped[:, :, 0].float().mean(dim=0).tolist() == [7, 3, 8, 0]
    assert dropped[:, :, 1:].eq(0).all()


def test_the_probability_is_that_of_each_item() -> None:
    torch.manual_seed(0)
    kept = drop_items(torch.ones(2000, 10, dtype=torch.int64), prob=0.3).ne(0)
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.01)
    assert kept.sum(dim=1).float().var().item() == pytest.approx(10 * 0.3 * 0.7, rel=0.1)


def test_nothing_is_dropped_at_probability_zero() -> None:
    assert drop_items(ITEM_IDS, prob=0).equal(ITEM_IDS)


@pytest.mark.parametrize("prob", [-0.1, 1.0, float("nan")])
def test_a_probability_out_of_range_is_refused(prob: float) -> None:
    with pytest.raises(ValueError, match=rf"item_drop_prob \({prob}\) must be in \[0, 1\)"):
        drop_items(ITEM_IDS, prob=prob)
