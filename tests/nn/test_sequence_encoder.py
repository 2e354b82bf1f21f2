from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from missrec.nn.dropout import Dropout
from missrec.nn.sequence_encoder import PositionedItems, SequenceEncoder
from missrec.nn.transformer import BlockSettings
from nn.torch_weights import torch_encoder_state

EMBED_DIM, MAX_SEQ_LEN, LAYER_NORM_EPS = 8, 6, 0.25


def encoder(*, dropout_prob: float = 0.0) -> SequenceEncoder:
    torch.manual_seed(0)
    module = SequenceEncoder(
        embed_dim=EMBED_DIM,
        max_seq_len=MAX_SEQ_LEN,
        block=BlockSettings(
            num_heads=2,
            feedforward_dim=12,
            dropout_prob=dropout_prob,
            activation_dropout_prob=0.0,
            layer_norm_eps=LAYER_NORM_EPS,
        ),
        num_blocks=2,
        init_std=0.02,
    )
    for parameter in module.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.5)
    return module


def items_and_mask() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    items = torch.randn(3, 5, EMBED_DIM, generator=generator)
    return items, torch.arange(5) < torch.tensor([5, 3, 1])[:, None]


@pytest.mark.parametrize("causal", [False, True])
def test_equals_torch_layers_over_normed_items_with_positions(*, causal: bool) -> None:
    module, (items, valid_mask) = encoder(), items_and_mask()
    hidden = nn.functional.layer_norm(
        items + module.input.positions.weight[:5], (EMBED_DIM,), eps=LAYER_NORM_EPS
    )
    later = torch.ones(5, 5, dtype=torch.bool).triu(diagonal=1)
    for block in module.stack.blocks:
        layer = nn.TransformerEncoderLayer(
            EMBED_DIM,
            2,
            12,
            dropout=0.0,
            activation="gelu",
            layer_norm_eps=LAYER_NORM_EPS,
            batch_first=True,
        )
        layer.load_state_dict(torch_encoder_state(block))
        hidden = layer(hidden, src_mask=later if causal else None, src_key_padding_mask=~valid_mask)
    encoded = module(items, valid_mask=valid_mask, causal=causal)
    torch.testing.assert_close(encoded[valid_mask], hidden[valid_mask])


def test_the_training_path_of_a_cpu_is_causal_too() -> None:
    module, (items, valid_mask) = encoder(dropout_prob=0.25), items_and_mask()
    for part in module.modules():
        if hasattr(part, "dropout"):
            part.dropout = Dropout(0.0)
    trained = module.train()(items, valid_mask=valid_mask, causal=True)
    evaluated = module.eval()(items, valid_mask=valid_mask, causal=True)
    torch.testing.assert_close(trained[valid_mask], evaluated[valid_mask])


def test_weights_start_as_berts() -> None:
    torch.manual_seed(0)
    module = SequenceEncoder(
        embed_dim=64,
        max_seq_len=40,
        block=BlockSettings(
            num_heads=2,
            feedforward_dim=96,
            dropout_prob=0.0,
            activation_dropout_prob=0.0,
            layer_norm_eps=1e-12,
        ),
        num_blocks=2,
        init_std=0.02,
    )
    for name, parameter in module.named_parameters():
        if parameter.ndim == 2:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name
        else:
            assert parameter.eq(1.0 if name.endswith("norm.weight") else 0.0).all(), name


def test_positions_may_count_from_the_most_recent_item() -> None:
    block = BlockSettings(
        num_heads=2,
        feedforward_dim=12,
        dropout_prob=0.0,
        activation_dropout_prob=0.0,
        layer_norm_eps=LAYER_NORM_EPS,
    )
    module = PositionedItems(
        embed_dim=EMBED_DIM,
        max_seq_len=MAX_SEQ_LEN,
        block=block,
        init_std=0.5,
        positions_from_end=True,
    )
    items, valid_mask = items_and_mask()
    places = torch.tensor([[4, 3, 2, 1, 0], [2, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    expected = module.norm(items + module.positions.weight[places])
    found = module(items, valid_mask=valid_mask)
    torch.testing.assert_close(found[valid_mask], expected[valid_mask])
