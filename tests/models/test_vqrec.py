from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor
from torch.nn import functional as F

from missrec.app.model import build
from missrec.nn.permutation import LearnedPermutation
from missrec.training.transfer import Fate, load_pretrained
from missrec.types import SequenceBatch
from models.reference import (
    CONF,
    assert_scores_agree,
    batch_of,
    build_with,
    encoder_state,
    needs_fixtures,
    reference,
    weights,
)
from synthetic import catalogue, raw_features, sequence_batch

CODES = [f"model.items.coding.quantizer.{size}" for size in ("num_codebooks=4", "num_codewords=8")]
PERMUTED = "+model/permutation@model.items.permutation=learned"
SMALL = ["model.embed_dim=8", "datamodule.max_seq_len=6", "model.encoder.block.feedforward_dim=8"]


def from_reference(*overrides: str) -> Any:
    """Their codes number the rows of one table, whose first row of each codebook is padding."""
    theirs, codes = weights("vqrec"), reference("vqrec")["codes"]
    codewords = codes - torch.arange(4) * 9 - 1
    codewords[0] = 0
    state = {
        **encoder_state(theirs),
        "items.weight": theirs["pq_code_embedding.weight"].view(4, 9, 24)[:, 1:],
        "items.codewords": codewords.to(torch.uint8),
        "items.present": (torch.arange(41) > 0)[:, None].repeat(1, 4),
    }
    texts = torch.randn(41, 16, generator=torch.Generator().manual_seed(0))
    return build_with(state, "model=vqrec", *CODES, *overrides, text_features=texts)


def small_model(*overrides: str, num_items: int = 20, seed: int = 0) -> Any:
    """A model of an own domain; its item 6 has no text."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["model=vqrec", *CODES, *SMALL, *overrides])
    texts = raw_features(num_items=num_items, width=8, missing=[6], seed=seed)
    sequences = [[*range(1, num_items + 1), 1, 1]]
    torch.manual_seed(seed)
    return build(cfg, "model", catalogue=catalogue(sequences, features={"text": texts}))


def batch() -> SequenceBatch:
    return sequence_batch([[4, 9, 2], [7], [1, 6, 5], [3, 8]], [8, 3, 8, 6])


@needs_fixtures
def test_scores_are_the_references() -> None:
    assert_scores_agree(from_reference(), "vqrec")


@needs_fixtures
def test_loss_is_the_references_but_for_its_padding_candidate() -> None:
    values = reference("vqrec")
    logits, targets = values["logits"] / 0.07, values["target_ids"]
    torch.testing.assert_close(F.cross_entropy(logits, targets), values["loss"][0])
    expected = F.cross_entropy(logits[:, 1:], targets - 1)
    loss = from_reference().training_loss(batch_of("vqrec")).total
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prob", [0.0, 0.75])
def test_pretraining_tells_the_target_from_those_of_the_batch_and_its_synthetic_item(
    prob: float,
) -> None:
    model = small_model("objective=in_batch_softmax", f"model.synthetic_prob={prob}").eval()
    given = batch()
    torch.manual_seed(7)
    loss = model.training_loss(given).total.item()
    torch.manual_seed(7)
    synthetic = F.normalize(model.items.synthetic(given.target_ids, prob=prob), dim=-1)
    user, targets = model.encode(given), given.target_ids.tolist()
    items = model.candidates(given.target_ids)
    total = 0.0
    for row, target in enumerate(targets):
        positive = math.exp((user[row] @ items[row]).item() / 0.07)
        below = positive + sum(
            math.exp((user[row] @ items[other]).item() / 0.07)
            for other in range(len(targets))
            if targets[other] != target
        )
        if prob:
            below += math.exp((user[row] @ synthetic[row]).item() / 0.07)
        total -= math.log(positive / below)
    assert loss == pytest.approx(total / len(targets), rel=1e-4)


def test_histories_and_candidates_see_the_same_draw_of_the_permutation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = []
    relaxed = LearnedPermutation.relaxed

    def noted(self: LearnedPermutation) -> Tensor:
        draws.append(relaxed(self))
        return draws[-1]

    monkeypatch.setattr(LearnedPermutation, "relaxed", noted)
    model = small_model(PERMUTED, "model.encoder.block.dropout_prob=0").train()
    loss = model.training_loss(batch()).total
    assert len(draws) == 1
    plain = small_model("model.encoder.block.dropout_prob=0").train()
    state = {name: value for name, value in model.state_dict().items() if "permutation" not in name}
    plain.load_state_dict(state | {"items.weight": draws[0].detach() @ state["items.weight"]})
    torch.testing.assert_close(plain.training_loss(batch()).total, loss)


def test_codes_and_permutation_belong_to_their_domain_and_the_rest_moves() -> None:
    source, target = small_model(seed=3, num_items=30), small_model(PERMUTED)
    fresh = {name: value.clone() for name, value in target.state_dict().items()}
    tensors = load_pretrained(target, source.state_dict(), same_domain=False)
    stayed = {tensor.name for tensor in tensors if tensor.fate is Fate.FRESH}
    assert stayed == {
        "items.codebooks.0.centroids",
        "items.codebooks.0.rotation",
        "items.codewords",
        "items.present",
        "items.permutation.logits",
        "items.permutation.permutation",
    }
    loaded = target.state_dict()
    assert all(loaded[name].equal(fresh[name]) for name in stayed)
    moved = loaded.keys() - stayed
    assert {"items.weight", "encoder.input.positions.weight"} < moved
    assert all(loaded[name].equal(source.state_dict()[name]) for name in moved)


def test_a_model_keeps_its_codes_when_others_would_be_made_now() -> None:
    trained, later = small_model(), small_model("model.items.coding.quantizer.seed=5")
    assert not later.items.codewords.equal(trained.items.codewords)
    later.load_state_dict(trained.state_dict())
    assert later.items.codewords.equal(trained.items.codewords)
    item_ids = torch.arange(1, 21)
    assert later.candidates(item_ids).equal(trained.candidates(item_ids))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.temperature=0", r"temperature \(0\) must be above 0"),
        ("model.synthetic_prob=1.5", r"synthetic_prob \(1.5\) must be in \[0, 1\]"),
    ],
)
def test_settings_out_of_range_are_refused(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_model(override)
