from __future__ import annotations

import pytest
import torch
from torch import Tensor

from missrec.nn.encoder_decoder import EncoderDecoder

EMBED_DIM = 8


def network(
    *, num_encoder_blocks: int = 1, num_decoder_blocks: int = 1, dropout_prob: float = 0.0
) -> EncoderDecoder:
    torch.manual_seed(0)
    return EncoderDecoder(
        embed_dim=EMBED_DIM,
        num_heads=2,
        feedforward_dim=12,
        dropout_prob=dropout_prob,
        num_encoder_blocks=num_encoder_blocks,
        num_decoder_blocks=num_decoder_blocks,
    )


def padded(*, width: int, lengths: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Embeddings (B, width, D) and their valid mask (B, width)."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(len(lengths), width, EMBED_DIM, generator=generator)
    return embeddings, torch.arange(width) < torch.tensor(lengths)[:, None]


TOKENS, TOKEN_MASK = padded(width=6, lengths=(6, 3, 1), seed=1)
QUERIES, QUERY_MASK = padded(width=4, lengths=(2, 4, 1), seed=2)


def decode(module: EncoderDecoder, tokens: Tensor = TOKENS, queries: Tensor = QUERIES) -> Tensor:
    return module(tokens, queries, token_mask=TOKEN_MASK, query_mask=QUERY_MASK).embeddings


@pytest.mark.parametrize(("num_encoder_blocks", "num_decoder_blocks"), [(1, 1), (2, 3), (0, 1)])
def test_the_context_passes_every_encoder_block_and_the_queries_every_decoder_block(
    num_encoder_blocks: int, num_decoder_blocks: int
) -> None:
    module = network(num_encoder_blocks=num_encoder_blocks, num_decoder_blocks=num_decoder_blocks)
    context, decoded = module.token_norm(TOKENS), module.query_norm(QUERIES)
    for number in range(num_encoder_blocks):
        context = module.encoder[number](context, valid_mask=TOKEN_MASK)
    for number in range(num_decoder_blocks):
        decoded = module.decoder[number](
            decoded, context, query_mask=QUERY_MASK, context_mask=TOKEN_MASK
        )
    assert len(module.encoder) == num_encoder_blocks
    assert len(module.decoder) == num_decoder_blocks
    torch.testing.assert_close(decode(module), decoded)


def test_permuting_the_queries_permutes_the_decoded() -> None:
    module, order = network(num_decoder_blocks=2), torch.tensor([3, 1, 0, 2])
    permuted = module(
        TOKENS, QUERIES[:, order], token_mask=TOKEN_MASK, query_mask=QUERY_MASK[:, order]
    )
    torch.testing.assert_close(permuted.embeddings, decode(module)[:, order])
    assert permuted.valid_mask.equal(QUERY_MASK[:, order])


def test_without_positions_the_order_of_the_tokens_does_not_matter() -> None:
    module, order = network(num_encoder_blocks=2), torch.tensor([3, 5, 1, 0, 2, 4])
    permuted = module(
        TOKENS[:, order], QUERIES, token_mask=TOKEN_MASK[:, order], query_mask=QUERY_MASK
    )
    torch.testing.assert_close(permuted.embeddings, decode(module))


def test_padded_tokens_and_padded_queries_change_no_valid_query() -> None:
    module = network(num_encoder_blocks=2, num_decoder_blocks=2)
    noise = 5 * torch.randn(EMBED_DIM, generator=torch.Generator().manual_seed(3))
    tokens = TOKENS + noise * ~TOKEN_MASK[..., None]
    queries = QUERIES + noise * ~QUERY_MASK[..., None]
    changed = decode(module, tokens, queries)
    torch.testing.assert_close(changed[QUERY_MASK], decode(module)[QUERY_MASK])


def test_real_tokens_and_real_queries_change_every_valid_query() -> None:
    module = network()
    noise = 5 * torch.randn(EMBED_DIM, generator=torch.Generator().manual_seed(3))
    tokens, queries = TOKENS.clone(), QUERIES.clone()
    tokens[:, 0] += noise
    queries[:, 0] += noise
    for changed in (decode(module, tokens), decode(module, queries=queries)):
        distance = (changed - decode(module))[QUERY_MASK].norm(dim=-1)
        assert distance.min() > 0.01


def test_a_row_without_tokens_and_queries_is_finite_and_leaves_the_others_alone() -> None:
    module = network()
    nothing = torch.tensor([False, True, True])[:, None]
    tokens, queries = TOKENS.clone().requires_grad_(), QUERIES.clone().requires_grad_()
    decoded = module(
        tokens, queries, token_mask=TOKEN_MASK & nothing, query_mask=QUERY_MASK & nothing
    ).embeddings
    torch.testing.assert_close(decoded[1:], decode(module)[1:])
    decoded.sum().backward()
    for value in (decoded, tokens.grad, queries.grad):
        assert value is not None
        assert value.isfinite().all()


def test_both_inputs_are_dropped_in_training_only() -> None:
    module = network(dropout_prob=0.5)
    received: list[Tensor] = []
    for block in (module.encoder[0], module.decoder[0]):
        block.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    decode(module)
    decode(module.eval())
    plain = [module.token_norm(TOKENS), module.query_norm(QUERIES)]
    for dropped, hidden in zip(received[:2], plain, strict=True):
        assert {round(ratio, 4) for ratio in (dropped / hidden).flatten().tolist()} == {0, 2}
    torch.testing.assert_close(received[2:], plain)
