from __future__ import annotations

import pytest
import torch

from missrec.models.last_item_transition import LastItemTransition
from synthetic import SEQUENCES, catalogue, random_sequences, sequence_batch

NUM_ITEMS = 6


def naive_score(sequences: list[list[int]], last: int, item: int) -> float:
    """Transitions last -> item before the two held-out items, and the popularity beside them."""
    training = [sequence[:-2] for sequence in sequences]
    popularity = [sum(part.count(other) for part in training) for other in range(NUM_ITEMS + 1)]
    transitions = sum(
        part[place : place + 2] == [last, item] for part in training for place in range(len(part))
    )
    return transitions + popularity[item] / (max(popularity) + 1)


@pytest.mark.parametrize(
    "sequences",
    [
        SEQUENCES,
        [[1, 1, 1, 1, 2, 3]],  # an item after itself, and everyone else unseen
        [[1, 2, 3], [4, 5, 6]],  # no transition at all
        random_sequences(num_users=40, num_items=NUM_ITEMS, longest=20),
    ],
)
def test_scores_are_counts_of_training_transitions(sequences: list[list[int]]) -> None:
    model = LastItemTransition(catalogue=catalogue(sequences))
    batch = sequence_batch([[2, 1], [5], [3, 3, 6], [1]], [1, 1, 1, 1])
    for items in ([1, 2, 3, 4, 5, 6], [2, 4, 5], [6]):
        scores = model.score(model.encode(batch), model.candidates(torch.tensor(items)))
        expected = [[naive_score(sequences, last, item) for item in items] for last in (1, 5, 6, 1)]
        torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64))


def test_the_held_out_items_are_not_counted() -> None:
    model = LastItemTransition(catalogue=catalogue([[1, 2, 3, 4]]))
    scores = model.score(torch.tensor([2, 3]), model.candidates(torch.arange(1, 7)))
    assert scores.lt(1).all()


def test_any_transition_outranks_the_most_popular_item() -> None:
    sequences = [[5, 6, 1, 1], *([1, 2, 1, 2, 1, 2, 3, 3] for _ in range(50))]
    model = LastItemTransition(catalogue=catalogue(sequences))
    scores = model.score(torch.tensor([5]), model.candidates(torch.arange(1, 7)))
    assert scores.argmax().item() == 6 - 1


def test_training_is_refused() -> None:
    with pytest.raises(RuntimeError, match="LastItemTransition has nothing to train"):
        LastItemTransition(catalogue=catalogue()).training_loss(sequence_batch([[1, 2]], [3]))
