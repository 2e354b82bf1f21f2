from __future__ import annotations

import pytest
import torch

from missrec.models.most_popular import MostPopular
from synthetic import SEQUENCES, catalogue, sequence_batch


def test_items_score_their_training_counts_whatever_the_history() -> None:
    model, batch = MostPopular(catalogue=catalogue()), sequence_batch([[1, 2], [6]], [3, 4])
    counts = [0] * 7
    for sequence in SEQUENCES:
        for item in sequence[:-2]:
            counts[item] += 1
    scores = model.score(model.encode(batch), model.candidates(torch.tensor([3, 1, 6, 5])))
    by_hand = [counts[item] for item in (3, 1, 6, 5)]
    assert by_hand == [3, 2, 0, 2]
    assert scores.tolist() == [by_hand, by_hand]


def test_counts_travel_with_checkpoints() -> None:
    model = MostPopular(catalogue=catalogue())
    restored = MostPopular(catalogue=catalogue([[1, 1, 1]]))
    restored.load_state_dict(model.state_dict())
    items = torch.arange(1, 7)
    assert restored.candidates(items).equal(model.candidates(items))


def test_training_is_refused() -> None:
    with pytest.raises(RuntimeError, match="MostPopular has nothing to train"):
        MostPopular(catalogue=catalogue()).training_loss(sequence_batch([[1, 2]], [3]))
