from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.reference import (
    NUM_ITEMS,
    assert_scores_agree,
    batch_of,
    build_drawn,
    build_with,
    encoder_state,
    needs_fixtures,
    reference,
    stack_state,
    weights,
)
from synthetic import random_sequences, sequence_batch


def from_reference(*overrides: str) -> Any:
    theirs = weights("fdsa")
    streams = {"item_trm_encoder": "encoder.stack", "feature_trm_encoder": "feature_stack"}
    stacks = {
        name: value
        for source, target in streams.items()
        for name, value in stack_state(theirs, source=source, target=target).items()
    }
    # encoder_state expects one stack, under RecBole's usual name
    renamed = {name.replace("item_trm", "trm"): value for name, value in theirs.items()}
    state = (
        encoder_state(renamed)
        | stacks
        | {
            "items.weight": theirs["item_embedding.weight"],
            "features.adapter.text.0.weight": theirs["adapter.mlp_layers.1.weight"],
            "features.adapter.text.0.bias": theirs["adapter.mlp_layers.1.bias"],
            "join.weight": theirs["concat_layer.weight"],
            "join.bias": theirs["concat_layer.bias"],
        }
    )
    texts = theirs["plm_embedding.weight"]
    return build_with(state, "model=fdsa", *overrides, text_features=texts)


@needs_fixtures
def test_scores_are_those_of_unisrecs_authors() -> None:
    assert_scores_agree(from_reference(), "fdsa")


@needs_fixtures
def test_loss_is_their_softmax_whose_candidates_include_padding() -> None:
    loss = from_reference("objective=full_softmax_released").training_loss(batch_of("fdsa"))
    torch.testing.assert_close(
        loss.total.detach(), reference("fdsa")["loss"][0], rtol=1e-5, atol=1e-5
    )


def test_texts_are_read_in_the_history_and_play_no_part_in_a_candidate() -> None:
    model, without = build_drawn("model=fdsa"), build_drawn("model=fdsa", missing=[9])
    batch = sequence_batch([[4, 9, 2], [5, 31]], [8, 3])
    items = torch.arange(1, NUM_ITEMS + 1)
    with torch.no_grad():
        encoded, changed = model.encode(batch), without.encode(batch)
        assert model.candidates(items).equal(without.candidates(items))
    assert not encoded[0].isclose(changed[0]).any()
    torch.testing.assert_close(encoded[1], changed[1])  # the adapter has other rows beside it


def test_an_item_without_text_enters_the_features_as_its_position_alone() -> None:
    model = build_drawn("model=fdsa", missing=[9])
    read: list[Tensor] = []
    shared = model.encoder.input
    shared.register_forward_hook(lambda *outcome: read.append(outcome[-1]))
    with torch.no_grad():
        model.encode(sequence_batch([[4, 9, 2]], [8]))
        expected = shared.norm(shared.positions.weight[1])
    of_ids, of_features = read
    torch.testing.assert_close(of_features[0, 1], expected)
    assert not of_ids[0, 1].isclose(expected).any()


def test_training_drops_entries_of_the_joined_vector() -> None:
    model = build_drawn("model=fdsa", "model.encoder.block.dropout_prob=0.25")
    histories = random_sequences(num_users=8, num_items=NUM_ITEMS, longest=9)
    encoded = model.train().encode(sequence_batch(histories, [1] * 8))
    assert 0.15 < encoded.eq(0).float().mean() < 0.35
