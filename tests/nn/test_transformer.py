from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from missrec.nn.attention import MultiHeadAttention
from missrec.nn.transformer import DecoderBlock, EncoderBlock, FeedForward

EMBED_DIM, NUM_HEADS, FEEDFORWARD_DIM = 8, 2, 12


def encoder_block(*, dropout_prob: float = 0.0) -> EncoderBlock:
    torch.manual_seed(0)
    return EncoderBlock(
        embed_dim=EMBED_DIM,
        num_heads=NUM_HEADS,
        feedforward_dim=FEEDFORWARD_DIM,
        dropout_prob=dropout_prob,
    )


def decoder_block(*, dropout_prob: float = 0.0) -> DecoderBlock:
    torch.manual_seed(0)
    return DecoderBlock(
        embed_dim=EMBED_DIM,
        num_heads=NUM_HEADS,
        feedforward_dim=FEEDFORWARD_DIM,
        dropout_prob=dropout_prob,
    )


def tokens_and_mask(*, width: int, lengths: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Tokens (B, width, D) and their valid mask (B, width)."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(lengths), width, EMBED_DIM, generator=generator)
    return tokens, torch.arange(width) < torch.tensor(lengths)[:, None]


def named(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in state.items()}


def torch_attention_state(prefix: str, source: MultiHeadAttention) -> dict[str, Tensor]:
    projections = [source.query, source.key, source.value]
    return named(
        prefix,
        {
            "in_proj_weight": torch.cat([projection.weight for projection in projections]),
            "in_proj_bias": torch.cat([projection.bias for projection in projections]),
            "out_proj.weight": source.output.weight,
            "out_proj.bias": source.output.bias,
        },
    )


def torch_feedforward_state(source: FeedForward) -> dict[str, Tensor]:
    first, last = source[0], source[-1]
    return named("linear1", first.state_dict()) | named("linear2", last.state_dict())


def test_encoder_block_equals_torch_post_norm_layer() -> None:
    block = encoder_block()
    tokens, valid_mask = tokens_and_mask(width=6, lengths=(6, 4, 1), seed=1)
    layer = nn.TransformerEncoderLayer(
        EMBED_DIM, NUM_HEADS, FEEDFORWARD_DIM, dropout=0.0, activation="gelu", batch_first=True
    )
    layer.load_state_dict(
        torch_attention_state("self_attn", block.attention)
        | named("norm1", block.attention_norm.state_dict())
        | torch_feedforward_state(block.feedforward)
        | named("norm2", block.feedforward_norm.state_dict())
    )
    encoded = block(tokens, valid_mask=valid_mask)
    torch.testing.assert_close(encoded, layer(tokens, src_key_padding_mask=~valid_mask))


def test_decoder_block_equals_torch_post_norm_layer_without_causal_mask() -> None:
    block = decoder_block()
    queries, query_mask = tokens_and_mask(width=4, lengths=(4, 1, 3), seed=1)
    context, context_mask = tokens_and_mask(width=6, lengths=(2, 6, 1), seed=2)
    layer = nn.TransformerDecoderLayer(
        EMBED_DIM, NUM_HEADS, FEEDFORWARD_DIM, dropout=0.0, activation="gelu", batch_first=True
    )
    layer.load_state_dict(
        torch_attention_state("self_attn", block.self_attention)
        | named("norm1", block.self_norm.state_dict())
        | torch_attention_state("multihead_attn", block.cross_attention)
        | named("norm2", block.cross_norm.state_dict())
        | torch_feedforward_state(block.feedforward)
        | named("norm3", block.feedforward_norm.state_dict())
    )
    decoded = block(queries, context, query_mask=query_mask, context_mask=context_mask)
    expected = layer(
        queries,
        context,
        tgt_key_padding_mask=~query_mask,
        memory_key_padding_mask=~context_mask,
    )
    torch.testing.assert_close(decoded, expected)


def test_encoder_block_knows_no_order() -> None:
    block = encoder_block()
    tokens, valid_mask = tokens_and_mask(width=6, lengths=(6, 4), seed=1)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = block(tokens[:, order], valid_mask=valid_mask[:, order])
    torch.testing.assert_close(permuted, block(tokens, valid_mask=valid_mask)[:, order])


def test_decoder_block_permutes_with_its_queries_and_ignores_the_order_of_its_context() -> None:
    block = decoder_block()
    queries, query_mask = tokens_and_mask(width=4, lengths=(4, 2), seed=1)
    context, context_mask = tokens_and_mask(width=6, lengths=(6, 3), seed=2)
    decoded = block(queries, context, query_mask=query_mask, context_mask=context_mask)
    order, context_order = torch.tensor([2, 0, 3, 1]), torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = block(
        queries[:, order],
        context[:, context_order],
        query_mask=query_mask[:, order],
        context_mask=context_mask[:, context_order],
    )
    torch.testing.assert_close(permuted, decoded[:, order])


@pytest.mark.parametrize("valid", [False, True])
def test_a_query_sees_later_queries_only_if_they_are_valid(*, valid: bool) -> None:
    block = decoder_block()
    queries, query_mask = tokens_and_mask(width=4, lengths=(4 if valid else 3,), seed=1)
    context, context_mask = tokens_and_mask(width=6, lengths=(6,), seed=2)
    decoded = block(queries, context, query_mask=query_mask, context_mask=context_mask)
    queries[:, 3] = 9.0 * torch.arange(EMBED_DIM)
    changed = block(queries, context, query_mask=query_mask, context_mask=context_mask)
    assert changed[:, :3].equal(decoded[:, :3]) is not valid


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_dropout_acts_in_training_only(kind: str) -> None:
    tokens, valid_mask = tokens_and_mask(width=6, lengths=(6, 4), seed=1)

    def run(*, dropout_prob: float, training: bool) -> Tensor:
        if kind == "encoder":
            encoder = encoder_block(dropout_prob=dropout_prob).train(training)
            return encoder(tokens, valid_mask=valid_mask)
        decoder = decoder_block(dropout_prob=dropout_prob).train(training)
        return decoder(tokens, tokens, query_mask=valid_mask, context_mask=valid_mask)

    plain = run(dropout_prob=0.0, training=True)
    assert not run(dropout_prob=0.5, training=True).allclose(plain)
    torch.testing.assert_close(run(dropout_prob=0.5, training=False), plain)
