from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from missrec.nn.pooling import last_valid
from missrec.nn.transformer import BlockSettings, DecoderBlock, EncoderBlock, initialize_blocks
from nn.padded import decoded_by, encoded_by
from nn.torch_weights import torch_decoder_state, torch_encoder_state

EMBED_DIM, NUM_HEADS, FEEDFORWARD_DIM, LAYER_NORM_EPS = 8, 2, 12, 0.25


def block_settings(
    *, dropout_prob: float = 0.0, feedforward_dim: int = FEEDFORWARD_DIM
) -> BlockSettings:
    return BlockSettings(
        num_heads=NUM_HEADS,
        feedforward_dim=feedforward_dim,
        dropout_prob=dropout_prob,
        activation_dropout_prob=dropout_prob,
        layer_norm_eps=LAYER_NORM_EPS,
    )


def encoder_block(*, dropout_prob: float = 0.0) -> EncoderBlock:
    torch.manual_seed(0)
    return EncoderBlock(EMBED_DIM, block_settings(dropout_prob=dropout_prob))


def decoder_block(*, dropout_prob: float = 0.0) -> DecoderBlock:
    torch.manual_seed(0)
    return DecoderBlock(EMBED_DIM, block_settings(dropout_prob=dropout_prob))


def tokens_and_mask(*, width: int, lengths: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Tokens (B, width, D) and their valid mask (B, width)."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(lengths), width, EMBED_DIM, generator=generator)
    return tokens, torch.arange(width) < torch.tensor(lengths)[:, None]


def test_encoder_block_equals_torch_post_norm_layer() -> None:
    block = encoder_block()
    tokens, valid_mask = tokens_and_mask(width=6, lengths=(6, 4, 1), seed=1)
    layer = nn.TransformerEncoderLayer(
        EMBED_DIM,
        NUM_HEADS,
        FEEDFORWARD_DIM,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=LAYER_NORM_EPS,
        batch_first=True,
    )
    layer.load_state_dict(torch_encoder_state(block))
    encoded = encoded_by(block, tokens, valid_mask=valid_mask)
    torch.testing.assert_close(encoded, layer(tokens, src_key_padding_mask=~valid_mask))


def test_decoder_block_equals_torch_post_norm_layer_without_causal_mask() -> None:
    block = decoder_block()
    queries, query_mask = tokens_and_mask(width=4, lengths=(4, 1, 3), seed=1)
    context, context_mask = tokens_and_mask(width=6, lengths=(2, 6, 1), seed=2)
    layer = nn.TransformerDecoderLayer(
        EMBED_DIM,
        NUM_HEADS,
        FEEDFORWARD_DIM,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=LAYER_NORM_EPS,
        batch_first=True,
    )
    layer.load_state_dict(torch_decoder_state(block))
    decoded = decoded_by(block, queries, context, query_mask=query_mask, context_mask=context_mask)
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
    permuted = encoded_by(block, tokens[:, order], valid_mask=valid_mask[:, order])
    torch.testing.assert_close(permuted, encoded_by(block, tokens, valid_mask=valid_mask)[:, order])


def test_decoder_block_permutes_with_its_queries_and_ignores_the_order_of_its_context() -> None:
    block = decoder_block()
    queries, query_mask = tokens_and_mask(width=4, lengths=(4, 2), seed=1)
    context, context_mask = tokens_and_mask(width=6, lengths=(6, 3), seed=2)
    decoded = decoded_by(block, queries, context, query_mask=query_mask, context_mask=context_mask)
    order, context_order = torch.tensor([2, 0, 3, 1]), torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = decoded_by(
        block,
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
    decoded = decoded_by(block, queries, context, query_mask=query_mask, context_mask=context_mask)
    queries[:, 3] = 9.0 * torch.arange(EMBED_DIM)
    changed = decoded_by(block, queries, context, query_mask=query_mask, context_mask=context_mask)
    assert changed[:, :3].equal(decoded[:, :3]) is not valid


@pytest.mark.parametrize("dropout_prob", [0.0, 0.5])
def test_rows_without_padding_say_the_same_as_rows_of_all(dropout_prob: float) -> None:
    tokens, valid_mask = tokens_and_mask(width=6, lengths=(6, 4, 0), seed=1)
    queries, query_mask = tokens_and_mask(width=4, lengths=(1, 4, 3), seed=2)
    encoder = encoder_block(dropout_prob=dropout_prob)
    decoder = decoder_block(dropout_prob=dropout_prob)

    def run(*, with_padding: bool) -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        variables = (tokens.clone().requires_grad_(), queries.clone().requires_grad_())
        context = encoded_by(
            encoder, variables[0], valid_mask=valid_mask, with_padding=with_padding
        )
        decoded = decoded_by(
            decoder,
            variables[1],
            context,
            query_mask=query_mask,
            context_mask=valid_mask,
            with_padding=with_padding,
        )
        decoded = decoded * query_mask[..., None]
        weighted = (decoded * torch.arange(EMBED_DIM)).sum()
        return decoded, *torch.autograd.grad(weighted, [*variables, *decoder.parameters()])

    torch.testing.assert_close(run(with_padding=False), run(with_padding=True))


@pytest.mark.parametrize("dropout_prob", [0.0, 0.5])
@pytest.mark.parametrize("length", [0, 1, 6])
def test_the_last_token_alone_says_what_it_says_among_all(length: int, dropout_prob: float) -> None:
    block = encoder_block(dropout_prob=dropout_prob)
    tokens, valid_mask = tokens_and_mask(width=6, lengths=(6, length, 3), seed=1)
    tokens.requires_grad_()
    torch.manual_seed(0)
    alone = block.last(tokens, valid_mask=valid_mask)
    torch.manual_seed(0)
    among = last_valid(encoded_by(block, tokens, valid_mask=valid_mask), valid_mask)
    torch.testing.assert_close(alone, among)
    weights, variables = torch.arange(EMBED_DIM), [tokens, *block.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((alone * weights).sum(), variables),
        torch.autograd.grad((among * weights).sum(), variables),
    )


@pytest.mark.parametrize("dropout_prob", [0.0, 0.5])
def test_the_last_query_alone_says_what_it_says_among_all(dropout_prob: float) -> None:
    block = decoder_block(dropout_prob=dropout_prob)
    queries, query_mask = tokens_and_mask(width=4, lengths=(4, 1, 3), seed=1)
    context, context_mask = tokens_and_mask(width=6, lengths=(2, 6, 0), seed=2)
    masks = {"query_mask": query_mask, "context_mask": context_mask}
    torch.manual_seed(0)
    alone = block.last(queries, context, **masks)
    torch.manual_seed(0)
    among = last_valid(decoded_by(block, queries, context, **masks), query_mask)
    torch.testing.assert_close(alone, among)
    weights, variables = torch.arange(EMBED_DIM), list(block.parameters())
    torch.testing.assert_close(
        torch.autograd.grad((alone * weights).sum(), variables),
        torch.autograd.grad((among * weights).sum(), variables),
    )


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_dropout_acts_in_training_only(kind: str) -> None:
    tokens, valid_mask = tokens_and_mask(width=6, lengths=(6, 4), seed=1)

    def run(*, dropout_prob: float, training: bool) -> Tensor:
        if kind == "encoder":
            encoder = encoder_block(dropout_prob=dropout_prob).train(training)
            return encoded_by(encoder, tokens, valid_mask=valid_mask)
        decoder = decoder_block(dropout_prob=dropout_prob).train(training)
        return decoded_by(decoder, tokens, tokens, query_mask=valid_mask, context_mask=valid_mask)

    plain = run(dropout_prob=0.0, training=True)
    assert not run(dropout_prob=0.5, training=True).allclose(plain)
    torch.testing.assert_close(run(dropout_prob=0.5, training=False), plain)


def wide_blocks() -> nn.ModuleList:
    """An encoder and a decoder block of width 64, wide enough for statistics."""
    torch.manual_seed(0)
    settings = block_settings(feedforward_dim=96)
    return nn.ModuleList([EncoderBlock(64, settings), DecoderBlock(64, settings)])


def test_initialized_blocks_have_normal_weights_and_no_biases() -> None:
    blocks, std = wide_blocks(), 0.02
    initialize_blocks(blocks, std=std)
    linear = {name: part for name, part in blocks.named_modules() if isinstance(part, nn.Linear)}
    normal = {
        name: part
        for name, part in linear.items()
        if not name.endswith(("attention.query", "attention.key", "attention.value"))
    }
    assert (len(linear), len(normal)) == (4 + 2 + 2 * 4 + 2, 1 + 2 + 2 * 1 + 2)
    for part in linear.values():
        assert part.bias.eq(0).all()
    for part in normal.values():
        num_weights = part.weight.numel()
        assert part.weight.mean().item() == pytest.approx(0, abs=5 * std / math.sqrt(num_weights))
        deviation = 5 * std / math.sqrt(2 * num_weights)
        assert part.weight.std().item() == pytest.approx(std, abs=deviation)
        assert part.weight.abs().max() > 3 * std  # a uniform one ends at sqrt(3) std


def test_initialized_query_key_and_value_are_xaviers_of_their_joint_matrix() -> None:
    blocks = wide_blocks()
    initialize_blocks(blocks, std=0.02)
    bound = math.sqrt(6 / (3 * 64 + 64))
    attentions = (blocks[0].attention, blocks[1].self_attention, blocks[1].cross_attention)
    for attention in attentions:
        for projection in (attention.query, attention.key, attention.value):
            weights = projection.weight.flatten()
            assert weights.abs().max() <= bound
            even = torch.linspace(-bound, bound, 64 * 64)
            deviation = 5 * 2 * bound * math.sqrt(1 / 4 / (64 * 64))
            torch.testing.assert_close(weights.sort().values, even, rtol=0, atol=deviation)
    joint = torch.empty(3 * 64, 64)
    nn.init.xavier_uniform_(joint)
    assert joint.abs().max().item() == pytest.approx(bound, rel=1e-3)


def test_initialization_leaves_everything_but_the_linear_maps() -> None:
    blocks = nn.ModuleDict({"blocks": wide_blocks(), "embedding": nn.Embedding(3, 4)})
    for parameter in blocks.parameters():
        nn.init.normal_(parameter)
    before = {name: value.clone() for name, value in blocks.state_dict().items()}
    initialize_blocks(blocks, std=0.02)
    same = {name for name, value in blocks.state_dict().items() if value.equal(before[name])}
    assert same == {name for name in before if "norm" in name or "embedding" in name}


def test_without_a_deviation_the_weights_stay_and_nothing_is_drawn() -> None:
    blocks = wide_blocks()
    before = {name: value.clone() for name, value in blocks.state_dict().items()}
    random_state = torch.get_rng_state()
    initialize_blocks(blocks, std=None)
    assert torch.get_rng_state().equal(random_state)
    torch.testing.assert_close(dict(blocks.state_dict()), before, rtol=0, atol=0)
