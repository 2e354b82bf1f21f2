from __future__ import annotations

import numpy as np
import pytest
import torch

from missrec.models.nearest_neighbor import NearestNeighbor
from synthetic import catalogue, raw_features, sequence_batch, text_and_image

NUM_ITEMS = 6
WITHOUT_TEXT = (3, 5)


def texts() -> dict[str, np.ndarray]:
    return {"text": raw_features(num_items=NUM_ITEMS, width=4, missing=WITHOUT_TEXT, seed=1)}


def scores_of(histories: list[list[int]]) -> torch.Tensor:
    model = NearestNeighbor(catalogue=catalogue(features=texts()))
    batch = sequence_batch(histories, [1] * len(histories))
    return model.score(model.encode(batch), model.candidates(torch.arange(1, NUM_ITEMS + 1)))


def cosines(item: int) -> list[float]:
    values = texts()["text"]
    norms = [float(np.linalg.norm(row)) or 1.0 for row in values]
    return [
        float(values[item - 1] @ values[other]) / (norms[item - 1] * norms[other])
        for other in range(NUM_ITEMS)
    ]


def test_scores_are_cosines_with_the_last_item_that_has_a_text() -> None:
    scores = scores_of([[1, 2], [6], [4, 2, 3], [4, 3, 5]])
    torch.testing.assert_close(scores, torch.tensor([cosines(item) for item in (2, 6, 2, 4)]))


def test_items_without_text_score_zero_and_so_does_a_history_without_any() -> None:
    scores = scores_of([[1], [3, 5, 3]])
    assert scores[:, [2, 4]].eq(0).all()
    assert scores[1].eq(0).all()


def test_two_modalities_are_refused() -> None:
    with pytest.raises(ValueError, match="the features of one modality"):
        NearestNeighbor(catalogue=catalogue(features=text_and_image()))


def test_training_is_refused() -> None:
    with pytest.raises(RuntimeError, match="NearestNeighbor has nothing to train"):
        NearestNeighbor(catalogue=catalogue(features=texts())).training_loss(
            sequence_batch([[1, 2]], [3])
        )
