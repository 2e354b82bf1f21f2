from __future__ import annotations

from functools import partial

import pytest
import torch

from missrec.models.item_knn import ItemKNN
from missrec.nn.item_neighbors import ItemNeighbors
from missrec.types import InputsError
from synthetic import NUM_ITEMS, SEQUENCES, catalogue, sequence_batch, text_and_image

NEIGHBORS = partial(ItemNeighbors, count_weight=0.5, num_neighbors=3, decay=1.5)
IDS_ALONE = catalogue(features={}, num_items=NUM_ITEMS)


def test_the_scores_are_those_of_the_neighbors() -> None:
    known = catalogue(SEQUENCES, features=text_and_image())
    model = ItemKNN(catalogue=known, neighbors=NEIGHBORS, item_ids=True)
    alone = NEIGHBORS(catalogue=known, item_ids=True)
    batch = sequence_batch([[1, 2], [4]], [3, 5])
    items = torch.tensor([6, 1, 3])
    found = model.score(model.encode(batch), model.candidates(items))
    assert torch.equal(found, alone.score(alone.encode(batch), alone.candidates(items)))
    assert not list(model.parameters())


def test_by_ids_alone_a_new_item_has_no_score() -> None:
    by_ids = ItemKNN(catalogue=IDS_ALONE, neighbors=NEIGHBORS, item_ids=True)
    both = ItemKNN(catalogue=catalogue(), neighbors=NEIGHBORS, item_ids=True)
    assert by_ids.scores_by_id
    assert not both.scores_by_id


def test_ids_or_features_are_needed() -> None:
    with pytest.raises(InputsError, match="neither is in use"):
        ItemKNN(catalogue=IDS_ALONE, neighbors=NEIGHBORS, item_ids=False)


def test_training_is_refused() -> None:
    model = ItemKNN(catalogue=catalogue(), neighbors=NEIGHBORS, item_ids=True)
    with pytest.raises(RuntimeError, match="ItemKNN has nothing to train"):
        model.training_loss(sequence_batch([[1, 2]], [3]))
