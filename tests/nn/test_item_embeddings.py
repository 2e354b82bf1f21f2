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
    adapter, raw = module.adapter["text"], torch.from_numpy(text()["text"])
    expected = [
        [torch.zeros(5) if item in (0, 3) else adapter(raw[item - 1]) for item in row]
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


def test_an_item_passes_the_adapter_once_a_call_and_no_missing_one_does() -> None:
    seen = []
    module = FeatureEmbedding(
        catalogue=catalogue(features=text()), embed_dim=5, adapter=LinearAdapter
    )
    module.adapter["text"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module(torch.tensor([[2, 3, 0, 2], [2, 6, 2, 0]]))
    raw = torch.from_numpy(text()["text"])
    assert seen[0].equal(raw[[1, 5]])


def test_the_gradient_of_an_item_sums_over_its_occurrences() -> None:
    module = FeatureEmbedding(
        catalogue=catalogue(features=text()), embed_dim=5, adapter=LinearAdapter
    )
    module(torch.tensor([[2, 3, 0], [2, 6, 1]])).sum().backward()
    raw = torch.from_numpy(text()["text"])
    expected = raw[1] + raw[1] + raw[5] + raw[0]
    assert module.adapter["text"].weight.grad is not None
    torch.testing.assert_close(module.adapter["text"].weight.grad, expected.expand(5, WIDTH))


def test_an_augmentation_changes_the_features_before_the_adapter() -> None:
    module = FeatureEmbedding(
        catalogue=catalogue(features=text()), embed_dim=5, adapter=LinearAdapter
    )
    augmented = module(
        torch.tensor([2, 3]), augment=lambda modality, item_ids, features: 3 * features
    )
    adapted = module.adapter["text"](3 * torch.from_numpy(text()["text"][1]))
    torch.testing.assert_close(augmented, torch.stack([adapted, torch.zeros(5)]))


def test_an_item_is_the_mean_of_the_modalities_that_it_has() -> None:
    torch.manual_seed(0)
    raw = text_and_image()  # items 2 and 5 have no image
    module = FeatureEmbedding(catalogue=catalogue(features=raw), embed_dim=5, adapter=LinearAdapter)
    texts, images = (module.adapter[name](torch.from_numpy(raw[name])) for name in raw)
    expected = torch.stack([texts[1], (texts[3] + images[3]) / 2, torch.zeros(5), texts[4]])
    torch.testing.assert_close(module(torch.tensor([2, 4, 0, 5])), expected)


def test_an_item_exists_where_it_has_a_feature() -> None:
    raw = {**text(), "image": raw_features(num_items=NUM_ITEMS, width=3, missing=[1, 3])}
    module = FeatureEmbedding(catalogue=catalogue(features=raw), embed_dim=5, adapter=LinearAdapter)
    assert module.exist(torch.tensor([[0, 1], [3, 4]])).tolist() == [[False, True], [False, True]]


def test_without_features_there_is_nothing_to_adapt() -> None:
    items = catalogue(features={}, num_items=NUM_ITEMS)
    with pytest.raises(ValueError, match="reads features, and the inputs are ids alone"):
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
