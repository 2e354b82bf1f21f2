from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from missrec.interests.index import InterestTokens
from missrec.nn.sequence_networks import (
    EncodedSequence,
    EncoderDecoder,
    ItemTokens,
    MeanEncoder,
    ReleasedEncoderDecoder,
)
from missrec.nn.transformer import BlockSettings
from nn.padded import decoded_by, encoded_by
from nn.torch_weights import named, torch_decoder_state, torch_encoder_state

EMBED_DIM, NUM_HEADS, FEEDFORWARD_DIM, LAYER_NORM_EPS = 8, 2, 12, 0.01
LENGTHS = (4, 2, 1)
NUM_INTERESTS = (2, 4, 1)
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "encoder_decoder": partial(EncoderDecoder, num_encoder_blocks=1, num_decoder_blocks=1),
    "released": partial(ReleasedEncoderDecoder, num_encoder_blocks=1, num_decoder_blocks=1),
    "context_encoder": partial(MeanEncoder, num_blocks=2, reads_interests=False),
    "interest_encoder": partial(MeanEncoder, num_blocks=2, reads_interests=True),
}


def block_settings(*, dropout_prob: float = 0.0) -> BlockSettings:
    return BlockSettings(
        num_heads=NUM_HEADS,
        feedforward_dim=FEEDFORWARD_DIM,
        dropout_prob=dropout_prob,
        activation_dropout_prob=dropout_prob,
        layer_norm_eps=LAYER_NORM_EPS,
    )


def network(
    build: Callable[..., nn.Module], *, dropout_prob: float = 0.0, init_std: float | None = None
) -> nn.Module:
    torch.manual_seed(0)
    return build(
        embed_dim=EMBED_DIM, block=block_settings(dropout_prob=dropout_prob), init_std=init_std
    )


def encoder_decoder(
    *, num_encoder_blocks: int = 1, num_decoder_blocks: int = 1, dropout_prob: float = 0.0
) -> EncoderDecoder:
    build = partial(
        EncoderDecoder,
        num_encoder_blocks=num_encoder_blocks,
        num_decoder_blocks=num_decoder_blocks,
    )
    return network(build, dropout_prob=dropout_prob)


def released(*, num_encoder_blocks: int, num_decoder_blocks: int) -> ReleasedEncoderDecoder:
    """With weights that make every part matter."""
    build = partial(
        ReleasedEncoderDecoder,
        num_encoder_blocks=num_encoder_blocks,
        num_decoder_blocks=num_decoder_blocks,
    )
    module = network(build, dropout_prob=0.5)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.eval()


def mean_encoder(
    *, num_blocks: int, reads_interests: bool, dropout_prob: float = 0.0
) -> MeanEncoder:
    build = partial(MeanEncoder, num_blocks=num_blocks, reads_interests=reads_interests)
    return network(build, dropout_prob=dropout_prob)


def padded(*, width: int, lengths: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Embeddings (B, width, D) and their valid mask (B, width)."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(len(lengths), width, EMBED_DIM, generator=generator)
    return embeddings, torch.arange(width) < torch.tensor(lengths)[:, None]


def item_tokens() -> ItemTokens:
    """Two modalities, of which the second is missing at the first item of every sequence."""
    shared, valid_mask = padded(width=4, lengths=LENGTHS, seed=1)
    modalities = torch.stack([padded(width=4, lengths=LENGTHS, seed=s)[0] for s in (3, 4)], dim=1)
    present = torch.stack([valid_mask, valid_mask & (torch.arange(4) > 0)], dim=1)
    return ItemTokens(modalities * present[..., None], present, shared, valid_mask)


ITEMS = item_tokens()
TOKENS, TOKEN_MASK = ITEMS.by_modality()
INTERESTS = InterestTokens(*padded(width=4, lengths=NUM_INTERESTS, seed=2))
QUERIES, QUERY_MASK = INTERESTS


def tokens_alone(tokens: Tensor, mask: Tensor) -> ItemTokens:
    """Items whose tokens are `tokens` (B, S, D), as one modality that shares nothing."""
    return ItemTokens(tokens[:, None], mask[:, None], torch.zeros_like(tokens), mask)


def decode(module: nn.Module, tokens: Tensor = TOKENS, queries: Tensor = QUERIES) -> Tensor:
    """The decoded interests."""
    encoded = module(tokens_alone(tokens, TOKEN_MASK), InterestTokens(queries, QUERY_MASK))
    interests: Tensor = encoded.interests
    return interests


def noise_on_padding() -> tuple[ItemTokens, InterestTokens]:
    """ITEMS and INTERESTS with noise wherever there is padding."""
    noise = 5 * torch.randn(EMBED_DIM, generator=torch.Generator().manual_seed(5))
    padding = ~ITEMS.valid_mask[..., None]
    items = ITEMS._replace(
        modalities=ITEMS.modalities + noise * padding[:, None],
        shared=ITEMS.shared + noise * padding,
    )
    return items, InterestTokens(QUERIES + noise * ~QUERY_MASK[..., None], QUERY_MASK)


def naive_tokens(items: ItemTokens, row: int) -> Tensor:
    """(S, D) the tokens of one sequence, item by item within each modality."""
    return torch.stack(
        [
            items.modalities[row, modality, step] + items.shared[row, step]
            for modality in range(items.modalities.shape[1])
            for step in range(items.modalities.shape[2])
            if items.present[row, modality, step]
        ]
    )


def test_tokens_of_all_modalities_are_concatenated_and_share_the_position_of_their_item() -> None:
    for row, (length, num_tokens) in enumerate(zip(LENGTHS, (4 + 3, 2 + 1, 1 + 0), strict=True)):
        expected = naive_tokens(ITEMS, row)
        assert (int(ITEMS.valid_mask[row].sum()), len(expected)) == (length, num_tokens)
        assert TOKENS[row, TOKEN_MASK[row]].equal(expected)


@pytest.mark.parametrize(("num_encoder_blocks", "num_decoder_blocks"), [(1, 1), (2, 3), (0, 1)])
def test_the_context_passes_every_encoder_block_and_the_queries_every_decoder_block(
    num_encoder_blocks: int, num_decoder_blocks: int
) -> None:
    module = encoder_decoder(
        num_encoder_blocks=num_encoder_blocks, num_decoder_blocks=num_decoder_blocks
    )
    context, decoded = module.token_norm(TOKENS), module.query_norm(QUERIES)
    for number in range(num_encoder_blocks):
        context = encoded_by(module.encoder[number], context, valid_mask=TOKEN_MASK)
    for number in range(num_decoder_blocks):
        masks = {"query_mask": QUERY_MASK, "context_mask": TOKEN_MASK}
        decoded = decoded_by(module.decoder[number], decoded, context, **masks)
    assert len(module.encoder) == num_encoder_blocks
    assert len(module.decoder) == num_decoder_blocks
    found = module(ITEMS, INTERESTS).interests[QUERY_MASK]
    torch.testing.assert_close(found, decoded[QUERY_MASK])


def test_the_sequence_embedding_is_the_mean_of_the_decoded_interests() -> None:
    encoded = encoder_decoder()(ITEMS, INTERESTS)
    for row, num_interests in enumerate(NUM_INTERESTS):
        expected = sum(encoded.interests[row, :num_interests]) / num_interests
        torch.testing.assert_close(encoded.sequence[row], expected)
    assert encoded.valid_mask.equal(QUERY_MASK)


def test_permuting_the_queries_permutes_the_decoded() -> None:
    module, order = encoder_decoder(num_decoder_blocks=2), torch.tensor([3, 1, 0, 2])
    permuted = module(ITEMS, InterestTokens(QUERIES[:, order], QUERY_MASK[:, order]))
    expected = module(ITEMS, INTERESTS)
    torch.testing.assert_close(permuted.interests, expected.interests[:, order])
    torch.testing.assert_close(permuted.sequence, expected.sequence)
    assert permuted.valid_mask.equal(QUERY_MASK[:, order])


def test_without_positions_the_order_of_the_tokens_does_not_matter() -> None:
    module, order = encoder_decoder(num_encoder_blocks=2), torch.tensor([3, 5, 1, 0, 7, 2, 4, 6])
    permuted = module(tokens_alone(TOKENS[:, order], TOKEN_MASK[:, order]), INTERESTS)
    torch.testing.assert_close(permuted.interests, decode(module))


def test_padded_tokens_and_padded_queries_change_no_valid_query() -> None:
    module = encoder_decoder(num_encoder_blocks=2, num_decoder_blocks=2)
    noise = 5 * torch.randn(EMBED_DIM, generator=torch.Generator().manual_seed(3))
    tokens = TOKENS + noise * ~TOKEN_MASK[..., None]
    queries = QUERIES + noise * ~QUERY_MASK[..., None]
    changed = decode(module, tokens, queries)
    torch.testing.assert_close(changed[QUERY_MASK], decode(module)[QUERY_MASK])


def test_real_tokens_and_real_queries_change_every_valid_query() -> None:
    module = encoder_decoder()
    noise = 5 * torch.randn(EMBED_DIM, generator=torch.Generator().manual_seed(3))
    tokens, queries = TOKENS.clone(), QUERIES.clone()
    tokens[:, 0] += noise
    queries[:, 0] += noise
    for changed in (decode(module, tokens), decode(module, queries=queries)):
        distance = (changed - decode(module))[QUERY_MASK].norm(dim=-1)
        assert distance.min() > 0.01


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_a_row_without_tokens_and_queries_is_finite_and_leaves_the_others_alone(
    kind: str,
) -> None:
    module = network(NETWORKS[kind])
    exists = torch.tensor([False, True, True])[:, None]
    modalities, shared, queries = (
        value.clone().requires_grad_() for value in (ITEMS.modalities, ITEMS.shared, QUERIES)
    )
    items = ItemTokens(
        modalities, ITEMS.present & exists[..., None], shared, ITEMS.valid_mask & exists
    )
    encoded = module(items, InterestTokens(queries, QUERY_MASK & exists))
    expected = module(ITEMS, INTERESTS)
    torch.testing.assert_close(encoded.sequence[1:], expected.sequence[1:])
    (encoded.sequence.sum() + encoded.interests.sum()).backward()
    for value in (encoded.sequence, encoded.interests):
        assert value.isfinite().all()
    for value in (modalities, shared, queries):
        assert value.grad is None or value.grad.isfinite().all()


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_what_stands_in_the_padding_changes_no_sequence_embedding(kind: str) -> None:
    module = network(NETWORKS[kind])
    changed, expected = module(*noise_on_padding()), module(ITEMS, INTERESTS)
    torch.testing.assert_close(changed.sequence, expected.sequence)
    assert changed.valid_mask.equal(expected.valid_mask)
    torch.testing.assert_close(
        changed.interests[changed.valid_mask], expected.interests[expected.valid_mask]
    )


def test_both_inputs_are_dropped_in_training_only() -> None:
    module = encoder_decoder(dropout_prob=0.5)
    received: list[Tensor] = []
    for block in (module.encoder[0], module.decoder[0]):
        block.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    decode(module)
    decode(module.eval())
    plain = [module.token_norm(TOKENS[TOKEN_MASK]), module.query_norm(QUERIES[QUERY_MASK])]
    for dropped, hidden in zip(received[:2], plain, strict=True):
        assert {round(ratio, 4) for ratio in (dropped / hidden).flatten().tolist()} == {0, 2}
    torch.testing.assert_close(received[2:], plain)


def torch_transformer(source: ReleasedEncoderDecoder) -> nn.Transformer:
    """Torch's module with the same weights."""
    module = nn.Transformer(
        EMBED_DIM,
        NUM_HEADS,
        num_encoder_layers=len(source.encoder),
        num_decoder_layers=len(source.decoder),
        dim_feedforward=FEEDFORWARD_DIM,
        dropout=0.5,
        activation="gelu",
        layer_norm_eps=LAYER_NORM_EPS,
        batch_first=True,
    )
    state = named("encoder.norm", source.encoder_norm.state_dict())
    state |= named("decoder.norm", source.decoder_norm.state_dict())
    for number, block in enumerate(source.encoder):
        state |= named(f"encoder.layers.{number}", torch_encoder_state(block))
    for number, block in enumerate(source.decoder):
        state |= named(f"decoder.layers.{number}", torch_decoder_state(block))
    module.load_state_dict(state)
    return module.eval()


@pytest.mark.parametrize(("num_encoder_blocks", "num_decoder_blocks"), [(1, 1), (2, 3)])
def test_the_released_network_is_torchs_transformer_from_interests_to_the_last_item(
    num_encoder_blocks: int, num_decoder_blocks: int
) -> None:
    module = released(num_encoder_blocks=num_encoder_blocks, num_decoder_blocks=num_decoder_blocks)
    theirs = torch_transformer(module)
    modalities, shared, queries = (
        value.clone().requires_grad_() for value in (ITEMS.modalities, ITEMS.shared, QUERIES)
    )
    encoded = module(
        ItemTokens(modalities, ITEMS.present, shared, ITEMS.valid_mask),
        InterestTokens(queries, QUERY_MASK),
    )
    memory = theirs.encoder(queries, src_key_padding_mask=~QUERY_MASK)
    decoded = theirs(
        queries,
        module.item_norm(modalities[:, 0] + modalities[:, 1] + shared),
        src_key_padding_mask=~QUERY_MASK,
        tgt_key_padding_mask=~ITEMS.valid_mask,
        memory_key_padding_mask=~QUERY_MASK,
    )
    last = torch.stack([decoded[row, length - 1] for row, length in enumerate(LENGTHS)])
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(encoded.sequence, last, **tolerance)
    torch.testing.assert_close(encoded.interests, memory, **tolerance)
    assert encoded.valid_mask.equal(QUERY_MASK)
    weights = torch.randn(last.shape, generator=torch.Generator().manual_seed(6))
    inputs = (modalities, shared, queries)
    torch.testing.assert_close(
        torch.autograd.grad((encoded.sequence * weights).sum(), inputs),
        torch.autograd.grad((last * weights).sum(), inputs),
        **tolerance,
    )


@pytest.mark.parametrize("num_blocks", [1, 2])
@pytest.mark.parametrize("reads_interests", [False, True])
def test_the_mean_encoder_is_the_mean_of_what_it_reads_after_its_blocks(
    num_blocks: int, *, reads_interests: bool
) -> None:
    module = mean_encoder(num_blocks=num_blocks, reads_interests=reads_interests)
    found = module(ITEMS, INTERESTS)
    assert len(module.encoder) == num_blocks
    for row, num_interests in enumerate(NUM_INTERESTS):
        # One sequence at a time, without padding.
        tokens = QUERIES[row, :num_interests] if reads_interests else naive_tokens(ITEMS, row)
        encoded = module.token_norm(tokens[None])
        for block in module.encoder:
            encoded = encoded_by(
                block, encoded, valid_mask=torch.ones(1, len(tokens), dtype=torch.bool)
            )
        torch.testing.assert_close(found.interests[row, found.valid_mask[row]], encoded[0])
        torch.testing.assert_close(found.sequence[row], sum(encoded[0]) / len(tokens))


@pytest.mark.parametrize("reads_interests", [False, True])
def test_the_mean_encoder_reads_one_input_and_not_the_other(*, reads_interests: bool) -> None:
    module = mean_encoder(num_blocks=2, reads_interests=reads_interests)
    other_items = ITEMS._replace(shared=ITEMS.shared.flip(-1), modalities=-ITEMS.modalities)
    other_interests = InterestTokens(QUERIES[:, :2].flip(-1), QUERY_MASK[:, :2])
    expected: EncodedSequence = module(ITEMS, INTERESTS)
    with_other_items = module(other_items, INTERESTS)
    with_other_interests = module(ITEMS, other_interests)
    unread = with_other_items if reads_interests else with_other_interests
    read = with_other_interests if reads_interests else with_other_items
    for found, value in zip(unread, expected, strict=True):
        assert found.equal(value)
    assert (read.sequence - expected.sequence).norm(dim=-1).min() > 0.01


@pytest.mark.parametrize("reads_interests", [False, True])
def test_the_input_of_the_mean_encoder_is_dropped_in_training_only(
    *, reads_interests: bool
) -> None:
    module = mean_encoder(num_blocks=1, reads_interests=reads_interests, dropout_prob=0.5)
    received: list[Tensor] = []
    module.encoder[0].register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    module(ITEMS, INTERESTS)
    module.eval()(ITEMS, INTERESTS)
    read = QUERIES[QUERY_MASK] if reads_interests else TOKENS[TOKEN_MASK]
    plain = module.token_norm(read)
    ratios = (received[0] / plain).flatten().tolist()
    assert {round(ratio, 4) for ratio in ratios} == {0, 2}
    torch.testing.assert_close(received[1], plain)


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_every_layer_norm_has_the_epsilon_of_the_settings(kind: str) -> None:
    norms = [part for part in network(NETWORKS[kind]).modules() if isinstance(part, nn.LayerNorm)]
    # Two in an encoder block, three in a decoder block, and the network's own.
    expected = {
        "encoder_decoder": 2 + 3 + 2,
        "released": 2 + 3 + 3,
        "context_encoder": 2 * 2 + 1,
        "interest_encoder": 2 * 2 + 1,
    }
    assert [norm.eps for norm in norms] == [LAYER_NORM_EPS] * expected[kind]


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_the_linear_maps_start_as_told_or_as_torch_draws_them(kind: str) -> None:
    drawn, plain = (
        {
            name: part.bias
            for name, part in network(NETWORKS[kind], init_std=init_std).named_modules()
            if isinstance(part, nn.Linear)
        }
        for init_std in (0.02, None)
    )
    assert drawn
    assert all(bias.eq(0).all() for bias in drawn.values())
    assert all(bias.ne(0).all() for bias in plain.values())
