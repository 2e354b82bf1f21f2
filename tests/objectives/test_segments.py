from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from missrec.objectives.segments import draw_replacements, draw_segments

LENGTHS = [1, 2, 3, 5, 8]
WIDTH = 9
NUM_DRAWS = 4000


def right_padded(lengths: list[int]) -> Tensor:
    return torch.arange(WIDTH) < torch.tensor(lengths)[:, None]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_a_segment_is_neighbouring_items_at_most_half_of_the_sequence() -> None:
    for _ in range(100):
        for length, row in zip(LENGTHS, draw_segments(right_padded(LENGTHS)).tolist(), strict=True):
            places = [place for place, inside in enumerate(row) if inside]
            assert len(places) in range(min(1, length // 2), length // 2 + 1)
            assert all(place < length for place in places)
            assert places == list(range(places[0], places[0] + len(places))) if places else True


def test_size_and_start_of_a_segment_are_uniform() -> None:
    drawn = draw_segments(right_padded([5] * NUM_DRAWS))
    found = Counter((int(row.sum()), int(row.int().argmax())) for row in drawn)
    expected = {(1, start): 1 / 2 / 5 for start in range(5)}  # half of the segments have one item
    expected |= {(2, start): 1 / 2 / 4 for start in range(4)}
    shares = {segment: count / NUM_DRAWS for segment, count in found.items()}
    assert shares == pytest.approx(expected, abs=0.02)


def test_a_replacement_is_as_many_neighbours_of_the_batch_laid_end_to_end() -> None:
    item_ids = torch.tensor([[11, 12, 13, 14, 0], [21, 0, 0, 0, 0], [31, 32, 33, 34, 35]])
    inside = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 1]]).bool()
    end_to_end = [11, 12, 13, 14, 21, 31, 32, 33, 34, 35]
    windows = {tuple(end_to_end[start : start + 2]) for start in range(9)}
    drawn = [draw_replacements(item_ids, inside) for _ in range(300)]
    for row in (0, 2):
        assert {tuple(replacement[row][inside[row]].tolist()) for replacement in drawn} == windows


def test_a_segment_of_the_only_sequence_is_replaced_from_itself() -> None:
    item_ids = torch.tensor([[7, 8, 9]])
    inside = torch.tensor([[False, False, True]])
    drawn = {int(draw_replacements(item_ids, inside)[0, 2]) for _ in range(100)}
    assert drawn == {7, 8, 9}


def test_a_single_item_has_no_segment_and_a_replacement_that_can_be_read() -> None:
    item_ids = torch.tensor([[7, 0]])
    inside = draw_segments(item_ids > 0)
    assert not inside.any()
    assert draw_replacements(item_ids, inside).tolist() == [[7, 7]]
