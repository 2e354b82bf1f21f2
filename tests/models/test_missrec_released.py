"""`model=missrec_released` against numbers of the authors' public code."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file
from torch import Tensor

from missrec.app.model import build
from missrec.models.missrec import MISSRec
from missrec.types import SequenceBatch
from synthetic import PARITY, catalogue

FIXTURE = PARITY / "missrec_released.safetensors"
CONF = Path(__file__).parents[2] / "conf"
SETTINGS = [
    "model.embed_dim=24",
    "model.max_seq_len=12",
    "model.network.block.feedforward_dim=48",
]
LAYERS = {
    "trm_model.encoder.layers.0.linear1": "network.encoder.0.feedforward.0",
    "trm_model.encoder.layers.0.linear2": "network.encoder.0.feedforward.3",
    "trm_model.encoder.layers.0.norm1": "network.encoder.0.attention_norm",
    "trm_model.encoder.layers.0.norm2": "network.encoder.0.feedforward_norm",
    "trm_model.encoder.norm": "network.encoder_norm",
    "trm_model.decoder.layers.0.linear1": "network.decoder.0.feedforward.0",
    "trm_model.decoder.layers.0.linear2": "network.decoder.0.feedforward.3",
    "trm_model.decoder.layers.0.norm1": "network.decoder.0.self_norm",
    "trm_model.decoder.layers.0.norm2": "network.decoder.0.cross_norm",
    "trm_model.decoder.layers.0.norm3": "network.decoder.0.feedforward_norm",
    "trm_model.decoder.norm": "network.decoder_norm",
    "LayerNorm": "network.item_norm",
    "text_adaptor": "adapters.text",
    "img_adaptor": "adapters.image",
}
ATTENTIONS = {
    "trm_model.encoder.layers.0.self_attn": "network.encoder.0.attention",
    "trm_model.decoder.layers.0.self_attn": "network.decoder.0.self_attention",
    "trm_model.decoder.layers.0.multihead_attn": "network.decoder.0.cross_attention",
}

pytestmark = pytest.mark.skipif(not FIXTURE.is_file(), reason="parity fixtures are not here")


@cache
def reference(transfer: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{transfer}."): value
        for key, value in load_file(FIXTURE).items()
        if key.startswith(transfer)
    }


def our_state(transfer: str) -> dict[str, Tensor]:
    """The reference's weights under our names."""
    theirs = {key: value for key, value in reference(transfer).items() if key.startswith("state.")}
    theirs = {key.removeprefix("state."): value for key, value in theirs.items()}
    state = {
        f"{ours}.{part}": theirs[f"{name}.{part}"]
        for name, ours in LAYERS.items()
        for part in ("weight", "bias")
    }
    for name, ours in ATTENTIONS.items():
        for part in ("weight", "bias"):
            projections = theirs[f"{name}.in_proj_{part}"].chunk(3)
            for projection, value in zip(("query", "key", "value"), projections, strict=True):
                state[f"{ours}.{projection}.{part}"] = value
            state[f"{ours}.output.{part}"] = theirs[f"{name}.out_proj.{part}"]
    state["positions.weight"] = theirs["position_embedding.weight"]
    state["fusion.raw_alpha"] = theirs["fusion_factor"]
    # Their interest 0 is padding; ours count from 0, and absence is NO_INTEREST.
    tables = [theirs["plm_interest_lookup_table"], theirs["img_interest_lookup_table"]]
    state["interests.interest_of_item"] = torch.stack(tables) - 1
    state["interests.prototypes"] = theirs["interest_embeddings"][1:]
    state["interests.num_refreshes"] = torch.tensor(1)
    if transfer == "transductive":
        state["item_embeddings.weight"] = theirs["item_embedding.weight"]
    return state


@cache
def released(transfer: str) -> MISSRec:
    """Our preset with the reference's weights and interests."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        overrides = ["model=missrec_released", f"transfer={transfer}", *SETTINGS]
        cfg = compose("train", overrides=overrides)
    values = reference(transfer)
    features = {
        "text": values["text_features"][1:].numpy(),
        "image": values["image_features"][1:].numpy(),
    }
    model: MISSRec = build(cfg, "model", catalogue=catalogue(features=features))
    state = our_state(transfer)
    model.interests.prototypes = torch.zeros_like(state["interests.prototypes"])
    model.load_state_dict(state)
    return model.eval()


def batch(transfer: str) -> SequenceBatch:
    values = reference(transfer)
    return SequenceBatch(torch.arange(8), values["item_ids"], values["target_ids"])


@pytest.fixture(params=["inductive", "transductive"])
def transfer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_sequence_embeddings_agree(transfer: str) -> None:
    with torch.no_grad():
        ours = released(transfer).encode(batch(transfer))
    torch.testing.assert_close(
        ours, reference(transfer)["sequence_embedding"], rtol=1e-5, atol=1e-5
    )


def test_scores_agree(transfer: str) -> None:
    model = released(transfer)
    with torch.no_grad():
        users = model.encode(batch(transfer))
        scores = model.score(users, model.candidates(torch.arange(41)))
    logits = reference(transfer)["logits"]
    torch.testing.assert_close(scores / 0.07, logits, rtol=1e-5, atol=1e-5)


def test_loss_and_regulariser_agree(transfer: str) -> None:
    loss = released(transfer).training_loss(batch(transfer))
    values = reference(transfer)
    torch.testing.assert_close(loss.total.detach(), values["loss"][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        loss.terms["orthogonality"], values["regulariser"][0], rtol=1e-5, atol=1e-5
    )
