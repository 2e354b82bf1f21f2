from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.nn import functional as F

from missrec.app.model import build
from missrec.types import InputsError
from synthetic import MISSING_IMAGES, NUM_ITEMS, catalogue, sequence_batch, text_and_image

CONF = Path(__file__).parents[2] / "conf"
ALL_ITEMS = torch.arange(1, NUM_ITEMS + 1)
BATCH = sequence_batch([[1, 2, 3], [5], [4, 2]], [4, 6, 1])


def model_of(*modalities: str, transfer: str, num_voters: int = 2, **changes: Any) -> Any:
    """Voters that read these of `text_and_image`, without dropout."""
    overrides = [
        "model=voters",
        f"transfer={transfer}",
        f"model.num_voters={num_voters}",
        "model.embed_dim=8",
        "model.encoder.block.dropout_prob=0",
        "model.encoder.block.activation_dropout_prob=0",
        *(f"model.{key}={value}" for key, value in changes.items()),
    ]
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    features = {name: text_and_image()[name] for name in modalities}
    torch.manual_seed(1)
    return build(cfg, "model", catalogue=catalogue(features=features, num_items=NUM_ITEMS))


@pytest.mark.parametrize("transfer", ["inductive", "transductive"])
def test_the_score_is_the_mean_cosine_of_the_voters_that_know_an_item(transfer: str) -> None:
    model = model_of("text", "image", transfer=transfer)
    with torch.no_grad():
        scores = model.score(model.encode(BATCH), model.candidates(ALL_ITEMS))
        users = model.encode(BATCH).view(3, 4, 8)  # two voters of text, then two of images
        items = torch.stack(model._embed(ALL_ITEMS))
    cosines = torch.einsum("bvd,vcd->bvc", users, F.normalize(items, dim=-1))
    expected = cosines.mean(dim=1)
    if transfer == "inductive":
        text_alone = torch.tensor(MISSING_IMAGES) - 1
        expected[:, text_alone] = cosines[:, :2, text_alone].mean(dim=1)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(users.norm(dim=-1), torch.ones(3, 4))


def test_voters_learn_apart() -> None:
    both = model_of("text", "image", transfer="transductive", num_voters=1)
    losses = []
    for place, name in enumerate(("text", "image")):
        alone = model_of(name, transfer="transductive", num_voters=1)
        of_voter = {key: value for key, value in both.state_dict().items() if f".{name}." in key}
        alone.load_state_dict(of_voter)
        loss = alone.training_loss(BATCH).total
        loss.backward()
        losses.append(loss)
        if place == 0:
            gradient = alone.adapters["text"][0].project.weight.grad
    loss = both.training_loss(BATCH).total
    loss.backward()
    torch.testing.assert_close(loss, (losses[0] + losses[1]) / 2)
    torch.testing.assert_close(both.adapters["text"][0].project.weight.grad, gradient / 2)


def test_several_voters_of_a_set_start_apart() -> None:
    model = model_of("text", transfer="transductive")
    first, second = (part.project.weight for part in model.adapters["text"])
    assert not torch.equal(first, second)
    user = model.encode(BATCH)
    assert not torch.allclose(user[:, :8], user[:, 8:])


def test_frozen_items_give_the_same_scores() -> None:
    model = model_of("text", "image", transfer="transductive").eval()
    frozen = copy.deepcopy(model)
    frozen.freeze_items()
    torch.testing.assert_close(frozen.encode(BATCH), model.encode(BATCH))
    torch.testing.assert_close(frozen.candidates(ALL_ITEMS), model.candidates(ALL_ITEMS))


def test_inputs_and_settings_are_checked() -> None:
    with pytest.raises(InputsError, match="voters read features"):
        model_of(transfer="transductive")
    with pytest.raises(ValueError, match=r"num_voters \(0\) must be at least 1"):
        model_of("text", transfer="transductive", num_voters=0)
    with pytest.raises(ValueError, match=r"temperature \(0\) must be above 0"):
        model_of("text", transfer="transductive", temperature=0)
