from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.nn.augmentation import drop_items
from missrec.types import SequenceBatch
from models.reference import (
    NUM_ITEMS,
    assert_scores_agree,
    batch_of,
    build_drawn,
    build_for,
    build_with,
    encoder_state,
    needs_fixtures,
    reference,
    weights,
)
from synthetic import catalogue, raw_features, sequence_batch

EXPERTS = range(3)
SETTINGS = {"inductive": "transfer=inductive", "transductive": "transfer=transductive"}
PRETRAINING = ["objective=in_batch_softmax", "model.contrast_weight=0.5"]
TEMPERATURE = 0.07

both_settings = pytest.mark.parametrize("setting", SETTINGS)


def from_reference(setting: str, *overrides: str) -> Any:
    theirs = weights(f"unisrec_{setting}")
    experts = [f"moe_adaptor.experts.{number}" for number in EXPERTS]
    state = encoder_state(theirs) | {
        "items.adapter.text.shift": torch.stack([theirs[f"{name}.bias"] for name in experts]),
        "items.adapter.text.whitening": torch.stack(
            [theirs[f"{name}.lin.weight"].T for name in experts]
        ),
        "items.adapter.text.gate": theirs["moe_adaptor.w_gate"],
        "items.adapter.text.gate_noise": theirs["moe_adaptor.w_noise"],
    }
    if setting == "transductive":
        state["item_embeddings.weight"] = theirs["item_embedding.weight"]
    return build_with(
        state,
        "model=unisrec",
        SETTINGS[setting],
        "model.adapter.num_experts=3",
        *overrides,
        text_features=theirs["plm_embedding.weight"],
    )


def drawn(setting: str, *overrides: str) -> Any:
    experts = "model.adapter.num_experts=3"
    return build_drawn("model=unisrec", SETTINGS[setting], experts, *overrides)


def without_noise(model: Any) -> Any:
    """In training mode, but for the adapter and the dropouts inside the blocks."""
    model.eval()
    model.feature_dropout.train()
    return model


def pretraining_batch() -> SequenceBatch:
    return sequence_batch([[4, 9, 2, 31], [7, 3, 8], [12, 12, 5, 6, 30]], [8, 3, 8])


@needs_fixtures
@both_settings
def test_scores_are_those_of_the_public_code(setting: str) -> None:
    assert_scores_agree(from_reference(setting), f"unisrec_{setting}")


@needs_fixtures
@both_settings
def test_loss_is_that_of_the_public_code_whose_candidates_include_padding(setting: str) -> None:
    model = from_reference(setting, "objective=full_softmax_released")
    loss = model.training_loss(batch_of(f"unisrec_{setting}")).total.detach()
    expected = reference(f"unisrec_{setting}")["loss"][0]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_ids_are_added_to_the_text_in_the_history_and_as_a_candidate() -> None:
    model = drawn("transductive")
    text, ids = model.items, model.item_embeddings
    history, target = torch.tensor([[4, 9]]), torch.tensor([7])
    hidden = model.encoder(
        text(history) + ids(history), valid_mask=torch.ones(1, 2, dtype=torch.bool), causal=True
    )
    expected = F.cosine_similarity(hidden[:, -1], text(target) + ids(target))
    batch = sequence_batch(history.tolist(), [1])
    score = model.score(model.encode(batch), model.candidates(target))
    torch.testing.assert_close(score[0], expected)


def naive_sequence_item(users: Tensor, items: Tensor, targets: list[int]) -> Tensor:
    """2.2.1 as a double loop; other occurrences of a row's own target are no negatives."""
    losses = []
    for j, user in enumerate(users):
        terms = [
            torch.exp(user @ items[k] / TEMPERATURE)
            for k in range(len(targets))
            if k == j or targets[k] != targets[j]
        ]
        losses.append(-torch.log(torch.exp(user @ items[j] / TEMPERATURE) / sum(terms)))
    return sum(losses, users.new_zeros(())) / len(losses)


def naive_sequence_sequence(users: Tensor, views: Tensor) -> Tensor:
    """2.2.2 as a double loop."""
    losses = []
    for j, user in enumerate(users):
        total = sum(torch.exp(user @ view / TEMPERATURE) for view in views)
        losses.append(-torch.log(torch.exp(user @ views[j] / TEMPERATURE) / total))
    return sum(losses, users.new_zeros(())) / len(losses)


def test_pretraining_adds_the_weighted_loss_of_histories_whose_items_were_dropped() -> None:
    model = drawn("inductive", *PRETRAINING, "model.item_drop_share=1", "model.item_drop_prob=0.5")
    batch = pretraining_batch()
    torch.manual_seed(3)
    loss = model.training_loss(batch)
    torch.manual_seed(3)
    torch.rand(())  # chose the augmentation
    dropped = drop_items(batch.item_ids, prob=0.5)
    assert not dropped.equal(batch.item_ids)
    users, views = model.encode(batch), model.encode(batch._replace(item_ids=dropped))
    ranking = naive_sequence_item(
        users, model.candidates(batch.target_ids), batch.target_ids.tolist()
    )
    contrast = naive_sequence_sequence(users, views)
    torch.testing.assert_close(loss.terms["ranking"], ranking.detach())
    torch.testing.assert_close(loss.terms["contrast"], contrast.detach())
    torch.testing.assert_close(loss.total, ranking + 0.5 * contrast)


def test_in_the_other_batches_the_second_view_drops_features_of_the_history_alone() -> None:
    model = drawn(
        "inductive", *PRETRAINING, "model.item_drop_share=0", "model.feature_dropout_prob=0.5"
    )
    batch, seen = pretraining_batch(), []
    model.items.adapter["text"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    without_noise(model).training_loss(batch)
    history, candidates, view = seen
    assert len(candidates) == 2
    assert history.ne(0).all()
    kept = view != 0
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(view[kept], 2 * history[kept])


def test_where_texts_have_a_second_view_some_items_of_the_history_take_it() -> None:
    texts = raw_features(num_items=NUM_ITEMS, width=16, missing=[9])
    views = texts + 1
    views[[3, 8]] = 0  # items 4 and 9 have none
    settings = [*PRETRAINING, "model.item_drop_share=0", "model.item_drop_prob=0.5"]
    items = catalogue(features={"text": texts}, text_views=views)
    model = build_for(items, "model=unisrec", *settings)
    assert not any("second_views" in name for name in model.state_dict())
    seen: list[Tensor] = []
    model.items.adapter["text"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(1)
    without_noise(model).training_loss(pretraining_batch())
    *_, view = seen
    items_read = [2, 3, 4, 5, 6, 7, 8, 12, 30, 31]
    rows = torch.tensor(items_read) - 1
    first, second = torch.from_numpy(texts)[rows], torch.from_numpy(views)[rows]
    took = (view != first).any(dim=1)
    assert view[took].equal(second[took])
    assert not took[items_read.index(4)]
    assert 2 <= took.sum() <= 8


def test_the_share_says_in_how_many_batches_items_are_dropped() -> None:
    model = drawn("inductive", *PRETRAINING, "model.item_drop_share=0.75")
    drops = []
    model._read = lambda item_ids, augment=None: drops.append(augment is None)
    torch.manual_seed(0)
    for _ in range(200):
        model._second_view(torch.tensor([[1, 2]]))
    assert sum(drops) / 200 == pytest.approx(0.75, abs=0.08)


def test_without_a_weight_each_history_is_read_once() -> None:
    model, reads = drawn("inductive"), []
    model.encoder.input.register_forward_hook(lambda *_: reads.append(1))
    loss = model.training_loss(pretraining_batch())
    assert len(reads) == 1
    assert set(loss.terms) == {"ranking"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.temperature=0", r"temperature \(0\) must be above 0"),
        ("model.item_drop_share=1.5", r"item_drop_share \(1.5\) must be in \[0, 1\]"),
    ],
)
def test_settings_out_of_range_are_refused(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drawn("inductive", "model.contrast.temperature=1", override)
