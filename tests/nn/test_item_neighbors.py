from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from missrec.nn.item_neighbors import ItemNeighbors
from missrec.retrieval.new_items import ItemMap, moved_state
from missrec.types import Catalogue
from synthetic import (
    MISSING_IMAGES,
    NUM_ITEMS,
    SEQUENCES,
    catalogue,
    random_sequences,
    sequence_batch,
    text_and_image,
)

CONF = Path(__file__).parents[2] / "conf"
ALL_ITEMS = torch.arange(1, NUM_ITEMS + 1)
HISTORIES = [[1, 2, 3], [5], [4, 2, 4], [6, 6]]
SETTINGS = {"item_ids": True, "count_weight": 0.5, "num_neighbors": NUM_ITEMS, "decay": 1.5}


def neighbors(known: Catalogue, **changes: Any) -> ItemNeighbors:
    return ItemNeighbors(catalogue=known, **{**SETTINGS, **changes})


def votes(model: ItemNeighbors, histories: list[list[int]]) -> Tensor:
    batch = sequence_batch(histories, [1] * len(histories))
    return model.score(model.encode(batch), model.candidates(ALL_ITEMS))


def cosine(item: int, other: int, *sets: str) -> float:
    """The mean over the sets of the cosine of two items around the mean of the items."""
    total = 0.0
    for name in sets:
        values = text_and_image()[name].astype(np.float64)
        exists = values.any(axis=1)
        if exists[item - 1] and exists[other - 1]:
            one, two = (values[i - 1] - values[exists].mean(axis=0) for i in (item, other))
            total += one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    return total / len(sets) if sets else 0.0


def count(sequences: list[list[int]], item: int, other: int, *, decay: float = 1.5) -> float:
    """How often both stand in the training part of a sequence, the nearer the more."""
    training = [sequence[:-2] for sequence in sequences]
    return sum(
        math.exp(-(abs(there - here) - 1) / decay)
        for part in training
        for here in range(len(part))
        for there in range(len(part))
        if part[here] == item and part[there] == other
    )


def expected(
    sequences: list[list[int]], histories: list[list[int]], *sets: str, counted: bool = True
) -> Tensor:
    rows = []
    for history in histories:
        weights = [math.exp(-age / 1.5) for age in reversed(range(len(history)))]
        rows.append(
            [
                sum(
                    weight
                    * (cosine(i, j, *sets) + 0.5 * counted * count(sequences, i, j))
                    * (i != j)
                    for weight, i in zip(weights, history, strict=True)
                )
                / sum(weights)
                for j in ALL_ITEMS.tolist()
            ]
        )
    return torch.tensor(rows, dtype=torch.float32)


@pytest.mark.parametrize(
    "sequences",
    [
        SEQUENCES,
        [[1, 2, 3, 4]],  # one pair
        [[1, 2], [3]],  # none
        [[2, 2, 2, 3, 2, 1, 1]],  # an item beside itself
        random_sequences(num_users=30, num_items=NUM_ITEMS, longest=8),
    ],
)
@pytest.mark.parametrize("sets", [(), ("text",), ("text", "image")])
def test_scores_are_counts_and_cosines(sequences: list[list[int]], sets: tuple[str, ...]) -> None:
    features = {name: text_and_image()[name] for name in sets}
    model = neighbors(catalogue(sequences, features=features, num_items=NUM_ITEMS))
    found = votes(model, HISTORIES)
    torch.testing.assert_close(found, expected(sequences, HISTORIES, *sets), atol=2e-6, rtol=1e-5)
    model.freeze_items()
    torch.testing.assert_close(votes(model, HISTORIES), found)


def test_nothing_is_counted_without_ids() -> None:
    features = text_and_image()
    model = neighbors(catalogue(SEQUENCES, features=features), item_ids=False)
    by_content = expected(SEQUENCES, HISTORIES, *features, counted=False)
    torch.testing.assert_close(votes(model, HISTORIES), by_content, atol=2e-6, rtol=1e-5)


def test_held_out_items_are_not_counted() -> None:
    model = neighbors(catalogue([[1, 2, 3, 4], [1, 2, 5, 6]], features={}, num_items=NUM_ITEMS))
    assert model.neighbor_counts[2].tolist() == [2, 0, 0, 0, 0, 0]
    assert not model.neighbor_counts[3:].any()


def test_those_with_the_most_counts_are_kept_and_of_equals_the_first() -> None:
    sequences = [[1, 5, 6, 6], [1, 4, 6, 6], [1, 3, 6, 6], [3, 1, 6, 6]]
    known = catalogue(sequences, features={}, num_items=NUM_ITEMS)
    model = neighbors(known, num_neighbors=2)
    assert model.neighbor_ids[1].tolist() == [3, 4]
    assert model.neighbor_counts[1].tolist() == [2, 1]


def test_an_item_without_a_feature_has_no_vote_of_it() -> None:
    model = neighbors(catalogue([[1, 2, 3]], features={"image": text_and_image()["image"]}))
    scores = votes(model, [[1], [MISSING_IMAGES[0]]])
    assert not scores[:, torch.tensor(MISSING_IMAGES) - 1].any()
    assert not scores[1].any()


def test_pairs_far_apart_are_not_counted() -> None:
    far = list(range(1, 21))
    model = neighbors(catalogue([[*far, 1, 1]], features={}, num_items=20), num_neighbors=20)
    kept = model.neighbor_ids[1][model.neighbor_counts[1] > 0]
    assert kept.tolist() == [2, 3, 4, 5, 6, 7, 8]  # from 9 on it would be less than 0.01


@pytest.mark.parametrize("decay", [0.05, 0.5, math.inf])
def test_a_history_has_the_same_votes_beside_a_long_one(decay: float) -> None:
    model = neighbors(catalogue(), decay=decay)
    beside = votes(model, [[4, 2], [3] * 60])
    assert beside.isfinite().all()
    torch.testing.assert_close(beside[:1], votes(model, [[4, 2]]))


def test_who_trains_on_newer_sequences_counts_anew() -> None:
    before = neighbors(catalogue([[1, 2, 6, 6]], features={}, num_items=NUM_ITEMS)).state_dict()
    model = neighbors(catalogue([[1, 3, 6, 6]], features={}, num_items=NUM_ITEMS))
    own = {name: value.clone() for name, value in model.state_dict().items()}
    same = ItemMap(torch.arange(NUM_ITEMS + 1), NUM_ITEMS)
    served, trained = (moved_state(model, before, same, trains=trains) for trains in (False, True))
    for name in ("neighbor_ids", "neighbor_counts"):
        assert torch.equal(served[name], before[name])
        assert torch.equal(trained[name], own[name])


@pytest.mark.parametrize("strange", [-1, NUM_ITEMS + 1])
def test_a_state_that_names_other_items_is_refused(strange: int) -> None:
    model = neighbors(catalogue())
    state = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    state["neighbor_ids"][1, 0] = strange
    with pytest.raises(RuntimeError, match="neighbor_ids names items that are not there"):
        model.load_state_dict(state)


@pytest.mark.parametrize("name", ["count_weight", "decay"])
def test_settings_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} \(0\) must be above 0"):
        neighbors(catalogue(), **{name: 0})


@pytest.mark.parametrize("number", [0, 0.5, 1.5])
def test_neighbors_are_a_whole_number(number: float) -> None:
    with pytest.raises(ValueError, match=rf"\({number}\) must be a whole number, at least 1"):
        neighbors(catalogue(), num_neighbors=number)


def test_the_defaults_are_those_of_the_config() -> None:
    configured = OmegaConf.load(CONF / "model" / "neighbors" / "items.yaml")
    parameters = inspect.signature(ItemNeighbors).parameters
    defaults = {
        name: one.default for name, one in parameters.items() if one.default is not one.empty
    }
    assert defaults == {key: configured[key] for key in configured if not key.startswith("_")}
