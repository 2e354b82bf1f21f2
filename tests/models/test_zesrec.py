from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from missrec.app.model import build
from missrec.types import Catalogue
from synthetic import catalogue, random_sequences, raw_features, sequence_batch

CONF = Path(__file__).parents[2] / "conf"
NUM_ITEMS, WITHOUT_TEXT = 20, 6
HISTORIES, TARGETS = [[4, 9, 2], [7], [12, 12, 5, 6]], [8, 3, 20]
SEQUENCES = random_sequences(num_users=9, num_items=NUM_ITEMS, seed=2)
NUM_TARGETS = sum(max(0, len(sequence) - 3) for sequence in SEQUENCES)  # two are held out


def items() -> Catalogue:
    text = raw_features(num_items=NUM_ITEMS, width=5, missing=[WITHOUT_TEXT], seed=1)
    return catalogue(SEQUENCES, features={"text": text})


def zesrec(*overrides: str) -> Any:
    """With random weights everywhere, offsets included, in evaluation mode."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["model=zesrec", "model.embed_dim=4", *overrides])
    torch.manual_seed(0)
    model: nn.Module = build(cfg, "model", catalogue=items())
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model.eval()


def naive_item(model: Any, item: int) -> Tensor:
    """v_j = f_e(x_j) + epsilon_j of one item."""
    text = model.items.features.lookup(0, torch.tensor([item]))[0] if item != WITHOUT_TEXT else None
    adapter = model.items.adapter["text"]
    mean = torch.zeros(4) if text is None else adapter.weight @ text + adapter.bias
    return mean if model.item_offsets is None else mean + model.item_offsets.weight[item]


def test_it_can_read_by_a_transformer() -> None:
    model = zesrec("model/sequence_encoder@model.encoder=transformer", "transfer=inductive")
    batch = sequence_batch(HISTORIES, TARGETS)
    items_read = model.candidates(batch.item_ids)
    hidden = model.encoder.stack(
        model.encoder.input(items_read, valid_mask=batch.valid_mask),
        valid_mask=batch.valid_mask,
        causal=True,
    )
    last = hidden[torch.arange(len(HISTORIES)), [len(history) - 1 for history in HISTORIES]]
    torch.testing.assert_close(model.encode(batch), last)


@pytest.mark.parametrize("transfer", ["inductive", "transductive"])
def test_the_loss_is_the_negative_log_posterior_of_a_target(transfer: str) -> None:
    model = zesrec(f"transfer={transfer}", "model.item_precision=3")
    vectors = [naive_item(model, item) for item in range(1, NUM_ITEMS + 1)]
    likelihood = torch.zeros(())
    for history, target in zip(HISTORIES, TARGETS, strict=True):
        read = torch.stack([vectors[item - 1] for item in history])
        user = model.encoder.network(read[None])[0][0, -1]
        total = sum(torch.exp(user @ vector) for vector in vectors)
        likelihood += torch.log(torch.exp(user @ vectors[target - 1]) / total) / len(HISTORIES)
    expected = -likelihood
    if transfer == "transductive":
        for offset in model.item_offsets.weight[1:]:
            expected = expected + 3 / 2 * (offset @ offset) / NUM_TARGETS
        with torch.no_grad():
            model.item_offsets.weight[0] = 0  # as it always is
    loss = model.training_loss(sequence_batch(HISTORIES, TARGETS))
    torch.testing.assert_close(loss.total, expected)
    assert sum(loss.terms.values()).item() == pytest.approx(loss.total.item())
    assert ("prior" in loss.terms) == (transfer == "transductive")


def test_the_gradient_of_an_offset_that_no_batch_touches_pulls_it_to_zero() -> None:
    model = zesrec("transfer=transductive", "model.item_precision=3", "objective=in_batch_softmax")
    model.training_loss(sequence_batch(HISTORIES, TARGETS)).total.backward()
    offsets = model.item_offsets.weight
    untouched = 15
    expected = 3 * offsets[untouched] / NUM_TARGETS
    torch.testing.assert_close(offsets.grad[untouched], expected.detach())


def test_offsets_start_at_their_prior_mean_so_a_new_domain_is_ranked_by_text_alone() -> None:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["model=zesrec", "transfer=transductive"])
    model: Any = build(cfg, "model", catalogue=items())
    assert model.item_offsets.weight.eq(0).all()
    ids = torch.arange(1, NUM_ITEMS + 1)
    assert model.candidates(ids).equal(model.items(ids))


def test_a_flat_prior_costs_nothing_and_a_negative_precision_is_refused() -> None:
    loss = zesrec("transfer=transductive", "model.item_precision=0").training_loss(
        sequence_batch(HISTORIES, TARGETS)
    )
    assert loss.terms["prior"] == 0
    for precision in (-1.0, math.nan):
        with pytest.raises(ValueError, match=rf"item_precision \({precision}\) must be at least 0"):
            zesrec(f"model.item_precision={precision}")
