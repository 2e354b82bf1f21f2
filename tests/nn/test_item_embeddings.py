from __future__ import annotations

from functools import partial

import pytest
import torch

from missrec.nn.adapters import LinearAdapter
from missrec.nn.item_embeddings import FeatureEmbedding, IdEmbedding
from synthetic import catalogue, raw_features, text_and_image

NUM_ITEMS, WIDTH = 6, 4


def text() -> dict[str, torch.Tensor]:
    return {"text": raw_features(num_items=NUM_ITEMS, width=WIDTH, missing=[3], seed=1)}


def test_features_pass_the_adapter_and_what_is_missing_is_zero() -> None:
    torch.manual_seed(0)
    module = FeatureEmbedding(
        catalogue=catalogue(features=text()), embed_dim=5, adapter=LinearAdapter
    )
    item_ids = torch.tensor([[2, 3, 0], [2, 6, 1]])
    raw = torch.from_numpy(text()["text"])
    expected = [
        [torch.zeros(5) if item in (0, 3) else module.adapter(raw[item - 1]) for item in row]
        for row in item_ids.tolist()
    ]
    torch.testing.assert_close(
        module(item_ids), torch.stack([torch.stack(row) for row in expected])
    )


def test_items_without_any_feature_embed_as_zeros() -> None:
    module = FeatureEmbedding(
        catalogue=catalogue(features=text()), embed_dim=5, adapter=LinearAdapter
    )
    assert module(torch.tensor([[3, 0]])).equal(torch.zeros(1, 2, 5))


@pytest.mark.parametrize(
    ("features", "message"),
    [(text_and_image(), r"one modality, not \['text', 'image'\]"), ({}, "not none")],
)
def test_features_of_other_than_one_modality_are_refused(
    features: dict[str, torch.Tensor], message: str
) -> None:
    items = catalogue(features=features, num_items=NUM_ITEMS)
    with pytest.raises(ValueError, match=message):
        FeatureEmbedding(catalogue=items, embed_dim=5, adapter=LinearAdapter)


def test_ids_start_normal_but_for_padding_which_is_zero_and_stays_so() -> None:
    torch.manual_seed(0)
    items = catalogue(features={}, num_items=500)
    module = partial(IdEmbedding, init_std=0.5)(catalogue=items, embed_dim=16)
    assert module.weight[0].eq(0).all()
    assert module.weight[1:].std().item() == pytest.approx(0.5, rel=0.05)
    module(torch.tensor([0, 2])).sum().backward()
    assert module.weight.grad is not None
    assert module.weight.grad[0].eq(0).all()
