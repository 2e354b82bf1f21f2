"""The parity fixtures: what public implementations computed, and their weights under our names.

Where nothing is compared with them, models of the same size have weights that the tests draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file
from torch import Tensor, nn

from missrec.app.model import build
from missrec.nn.item_embeddings import IdEmbedding
from missrec.types import PAD_ID, Catalogue, SequenceBatch
from synthetic import PARITY, catalogue, raw_features

CONF = Path(__file__).parents[2] / "conf"
SETTINGS = [
    "model.embed_dim=24",
    "datamodule.max_seq_len=10",
    "model.encoder.block.feedforward_dim=32",
]
"""Of all fixtures of baselines, whose encoder has two blocks with two heads."""
NUM_ITEMS = 40
LAYERS = {
    "multi_head_attention.query": "attention.query",
    "multi_head_attention.key": "attention.key",
    "multi_head_attention.value": "attention.value",
    "multi_head_attention.dense": "attention.output",
    "multi_head_attention.LayerNorm": "attention_norm",
    "feed_forward.dense_1": "feedforward.0",
    "feed_forward.dense_2": "feedforward.3",
    "feed_forward.LayerNorm": "feedforward_norm",
}

needs_fixtures = pytest.mark.skipif(not PARITY.is_dir(), reason="parity fixtures are not here")


@cache
def reference(name: str) -> dict[str, Tensor]:
    """The fixture of one implementation: its weights as `state.*`, its inputs and outputs."""
    return load_file(PARITY / f"{name}.safetensors")


def weights(name: str) -> dict[str, Tensor]:
    """The weights alone, under their own names."""
    state = reference(name)
    return {key.removeprefix("state."): state[key] for key in state if key.startswith("state.")}


def batch_of(name: str) -> SequenceBatch:
    """The inputs of a fixture."""
    values = reference(name)
    return SequenceBatch(torch.arange(8), values["item_ids"], values["target_ids"])


def stack_state(theirs: dict[str, Tensor], *, source: str, target: str) -> dict[str, Tensor]:
    """The blocks of an `EncoderStack` from those of RecBole's TransformerEncoder."""
    return {
        f"{target}.blocks.{number}.{ours}.{part}": theirs[f"{source}.layer.{number}.{name}.{part}"]
        for number in range(2)
        for name, ours in LAYERS.items()
        for part in ("weight", "bias")
    }


def encoder_state(theirs: dict[str, Tensor], *, target: str = "encoder") -> dict[str, Tensor]:
    """A whole `SequenceEncoder`."""
    return {
        f"{target}.input.positions.weight": theirs["position_embedding.weight"],
        f"{target}.input.norm.weight": theirs["LayerNorm.weight"],
        f"{target}.input.norm.bias": theirs["LayerNorm.bias"],
        **stack_state(theirs, source="trm_encoder", target=f"{target}.stack"),
    }


def build_with(
    state: dict[str, Tensor], *overrides: str, text_features: Tensor | None = None
) -> Any:
    """The model of a config with these weights, all of them, in evaluation mode.

    Args:
        state: under our names.
        overrides: `model=...` and what the fixture sets.
        text_features: (N + 1, F), row 0 is padding.
    """
    if text_features is None:
        text_features = torch.ones(NUM_ITEMS + 1, 16)
    features = {"text": text_features[1:].numpy()}
    model = build_for(catalogue(features=features), *overrides)
    model.load_state_dict(state)
    return model.eval()


def build_for(items: Catalogue, *overrides: str) -> Any:
    """The model of a config for these items, with weights as they are drawn."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[*overrides, *SETTINGS])
    return build(cfg, "model", catalogue=items)


def build_drawn(*overrides: str, missing: Sequence[int] = ()) -> Any:
    """The model of a config with random weights everywhere, in evaluation mode.

    Args:
        overrides: `model=...` and its settings.
        missing: items without text.
    """
    texts = raw_features(num_items=NUM_ITEMS, width=16, missing=missing, seed=1)
    model = build_for(catalogue(features={"text": texts}), *overrides)
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    for module in model.modules():
        if isinstance(module, IdEmbedding):
            nn.init.zeros_(module.weight[PAD_ID])
    return model.eval()


def assert_scores_agree(model: Any, name: str, *, batch: SequenceBatch | None = None) -> None:
    """The scores of all items are the reference's logits; its column 0 is padding.

    Args:
        model: with the reference's weights.
        name: of the fixture.
        batch: what the reference made of its inputs; None: the inputs themselves.
    """
    with torch.no_grad():
        encoded = model.encode(batch or batch_of(name))
        scores = model.score(encoded, model.candidates(torch.arange(1, NUM_ITEMS + 1)))
    torch.testing.assert_close(scores, reference(name)["logits"][:, 1:], rtol=1e-5, atol=1e-5)
