"""A sequence that is all padding is a number for every switch that changes torch's kernel.

torch's own attention gives NaN, 0 or a number for it, by need_weights, by training and by the type
of the mask: whoever calls it by itself has to know which. Ours attends to the padding evenly, and
the sequence that comes of it is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from missrec.interests.index import InterestTokens
from missrec.nn.attention import MultiHeadAttention
from missrec.nn.rows import Rows
from missrec.nn.sequence_networks import EncoderDecoder, ItemTokens, MeanEncoder
from missrec.nn.transformer import BlockSettings

EMBED_DIM = 8
SWITCHES = pytest.mark.parametrize(
    ("training", "dropout_prob", "gradients", "narrow"),
    [
        (False, 0.0, True, False),
        (False, 0.5, False, False),
        (False, 0.0, True, True),
        (True, 0.0, True, False),
        (True, 0.5, True, False),
        (True, 0.5, False, True),
    ],
)


def switched(module: nn.Module, *, training: bool, gradients: bool, narrow: bool) -> Any:
    """The context for a module with these switches."""
    module.train(training)
    torch.set_grad_enabled(gradients)
    return torch.autocast("cpu", torch.bfloat16) if narrow else nullcontext()


@pytest.fixture(autouse=True)
def _gradients() -> Any:
    yield
    torch.set_grad_enabled(True)


def block(dropout_prob: float) -> BlockSettings:
    return BlockSettings(
        num_heads=2,
        feedforward_dim=12,
        dropout_prob=dropout_prob,
        activation_dropout_prob=dropout_prob,
        layer_norm_eps=1e-5,
    )


def networks() -> dict[str, Callable[[BlockSettings], nn.Module]]:
    settings: dict[str, Any] = {"embed_dim": EMBED_DIM, "init_std": None}
    return {
        "encoder_decoder": lambda of: EncoderDecoder(
            **settings, block=of, num_encoder_blocks=1, num_decoder_blocks=1
        ),
        "context": lambda of: MeanEncoder(
            **settings, block=of, num_blocks=2, reads_interests=False
        ),
        "interests": lambda of: MeanEncoder(
            **settings, block=of, num_blocks=2, reads_interests=True
        ),
    }


@SWITCHES
@pytest.mark.parametrize("causal", [False, True])
def test_attention_to_padding_alone_is_finite(
    *, causal: bool, training: bool, dropout_prob: float, gradients: bool, narrow: bool
) -> None:
    torch.manual_seed(0)
    module = MultiHeadAttention(embed_dim=EMBED_DIM, num_heads=2, dropout_prob=dropout_prob)
    tokens = torch.randn(2, 5, EMBED_DIM)
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    with switched(module, training=training, gradients=gradients, narrow=narrow):
        rows = Rows.of(nothing)
        flat = rows.take(tokens)
        attended = module(flat, flat, of=rows, to=rows, causal=causal)
    assert attended.isfinite().all()
    if gradients:
        attended.float().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@SWITCHES
@pytest.mark.parametrize("name", networks())
def test_a_sequence_of_padding_alone_is_zero(
    name: str, *, training: bool, dropout_prob: float, gradients: bool, narrow: bool
) -> None:
    torch.manual_seed(0)
    module = networks()[name](block(dropout_prob))
    tokens = torch.randn(2, 1, 5, EMBED_DIM)
    mask = torch.tensor([[False] * 5, [True] * 3 + [False] * 2])
    items = ItemTokens(tokens, mask[:, None], torch.randn(2, 5, EMBED_DIM), mask)
    interests = InterestTokens(torch.randn(2, 5, EMBED_DIM), mask)
    with switched(module, training=training, gradients=gradients, narrow=narrow):
        encoded = module(items, interests).sequence
    assert encoded[0].eq(0).all()
    assert encoded[1].ne(0).any()
    assert encoded.isfinite().all()
    if gradients:
        encoded.float().sum().backward()
        found = [p.grad for p in module.parameters() if p.grad is not None]
        assert found
        assert all(gradient.isfinite().all() for gradient in found)


def test_torch_by_itself_gives_nan() -> None:
    # What this guards against, of the switches that torch 2.15 has.
    module = nn.MultiheadAttention(EMBED_DIM, 2, batch_first=True)
    tokens, nothing = torch.randn(2, 5, EMBED_DIM), torch.ones(2, 5, dtype=torch.bool)
    attended, _ = module(tokens, tokens, tokens, key_padding_mask=nothing, need_weights=True)
    assert attended.isnan().all()
