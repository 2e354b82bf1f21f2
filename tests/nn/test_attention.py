from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from missrec.nn.attention import MultiHeadAttention
from missrec.nn.dropout import Dropout
from missrec.nn.rows import Rows

NUM_HEADS, EMBED_DIM = 2, 8
LENGTHS = (5, 3, 1)


def attention(*, dropout_prob: float = 0.0) -> MultiHeadAttention:
    torch.manual_seed(0)
    module = MultiHeadAttention(embed_dim=EMBED_DIM, num_heads=NUM_HEADS, dropout_prob=dropout_prob)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


class Doubled(nn.Module):
    """A dropout whose weights no longer add up to 1."""

    def forward(self, weights: Tensor, *, rows: Rows | None = None) -> Tensor:
        return 2 * weights


def attention_by_head() -> MultiHeadAttention:
    """The path of a CPU's training, with nothing dropped."""
    module = attention(dropout_prob=0.5)
    module.dropout = Dropout(0.0)  # type: ignore[assignment]
    return module


PATHS = pytest.mark.parametrize("make", [attention, attention_by_head])


def queries_and_keys() -> tuple[Tensor, Tensor, Tensor]:
    """Queries (3, 4, D), keys (3, 5, D), and the valid mask (3, 5) of the keys."""
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(3, 4, EMBED_DIM, generator=generator)
    keys = torch.randn(3, 5, EMBED_DIM, generator=generator)
    return queries, keys, torch.arange(5) < torch.tensor(LENGTHS)[:, None]


def attend(
    module: MultiHeadAttention,
    queries: Tensor,
    keys: Tensor,
    *,
    valid_mask: Tensor,
    causal: bool = False,
) -> Tensor:
    """(B, Q, D) of padded queries and keys, with a row for each entry."""
    to = Rows.of(valid_mask, with_padding=True)
    if queries is keys:
        tokens = keys.flatten(0, 1)
        return to.spread(module(tokens, tokens, of=to, to=to, causal=causal))
    of = Rows.of(torch.ones(queries.shape[:2], dtype=torch.bool))
    return of.spread(module(queries.flatten(0, 1), keys.flatten(0, 1), of=of, to=to))


def torch_attention(source: MultiHeadAttention) -> nn.MultiheadAttention:
    """Torch's module with the same weights."""
    module = nn.MultiheadAttention(EMBED_DIM, NUM_HEADS, batch_first=True)
    projections = [source.query, source.key, source.value]
    module.load_state_dict(
        {
            "in_proj_weight": torch.cat([projection.weight for projection in projections]),
            "in_proj_bias": torch.cat([projection.bias for projection in projections]),
            "out_proj.weight": source.output.weight,
            "out_proj.bias": source.output.bias,
        }
    )
    return module


def naive_attention(module: MultiHeadAttention, queries: Tensor, keys: Tensor) -> Tensor:
    """(Q, D) attention of queries (Q, D) over keys (S, D), one head and one query at a time."""
    width = EMBED_DIM // NUM_HEADS
    rows = []
    for query in module.query(queries):
        heads = []
        for head in range(NUM_HEADS):
            part = slice(head * width, (head + 1) * width)
            scores = module.key(keys)[:, part] @ query[part] / math.sqrt(width)
            heads.append(scores.exp() / scores.exp().sum() @ module.value(keys)[:, part])
        rows.append(module.output(torch.cat(heads)))
    return torch.stack(rows)


@PATHS
def test_equals_torch_whose_mask_has_the_opposite_polarity(
    make: Callable[[], MultiHeadAttention],
) -> None:
    module = make()
    queries, keys, valid_mask = queries_and_keys()
    queries.requires_grad_()
    keys.requires_grad_()
    attended = attend(module, queries, keys, valid_mask=valid_mask)
    expected, _ = torch_attention(module)(queries, keys, keys, key_padding_mask=~valid_mask)
    torch.testing.assert_close(attended, expected)
    weights = torch.randn(attended.shape, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        torch.autograd.grad((attended * weights).sum(), (queries, keys)),
        torch.autograd.grad((expected * weights).sum(), (queries, keys)),
    )


@PATHS
def test_equals_torch_where_a_set_attends_to_itself(make: Callable[[], MultiHeadAttention]) -> None:
    module = make()
    _, tokens, valid_mask = queries_and_keys()
    tokens.requires_grad_()
    attended = attend(module, tokens, tokens, valid_mask=valid_mask)
    twin = torch_attention(module)
    expected, _ = twin(tokens, tokens, tokens, key_padding_mask=~valid_mask)
    torch.testing.assert_close(attended, expected)
    weights = torch.randn(attended.shape, generator=torch.Generator().manual_seed(2))
    variables = (tokens, module.query.weight, module.key.bias, module.value.weight)
    computed = torch.autograd.grad((attended * weights).sum(), variables)
    of_tokens, of_weight, of_bias = torch.autograd.grad(
        (expected * weights).sum(), (tokens, twin.in_proj_weight, twin.in_proj_bias)
    )
    query, _, value = of_weight.chunk(3)
    torch.testing.assert_close(computed, (of_tokens, query, of_bias.chunk(3)[1], value))


@PATHS
def test_equals_a_loop_over_heads_and_queries_of_the_valid_keys(
    make: Callable[[], MultiHeadAttention],
) -> None:
    module = make()
    queries, keys, valid_mask = queries_and_keys()
    attended = attend(module, queries, keys, valid_mask=valid_mask)
    for row, length in enumerate(LENGTHS):
        expected = naive_attention(module, queries[row], keys[row, :length])
        torch.testing.assert_close(attended[row], expected)


@PATHS
def test_a_sequence_without_any_valid_key_attends_to_its_padding_evenly(
    make: Callable[[], MultiHeadAttention],
) -> None:
    module = make()
    queries, keys, valid_mask = queries_and_keys()
    keys[0] = 0
    attended = attend(module, queries, keys, valid_mask=valid_mask & (torch.arange(3) > 0)[:, None])
    expected = module.output(module.value(torch.zeros(EMBED_DIM)))
    torch.testing.assert_close(attended[0], expected.expand(4, -1))
    plain = attend(module, queries, keys, valid_mask=valid_mask)
    torch.testing.assert_close(attended[1:], plain[1:])


@PATHS
def test_a_sequence_without_any_valid_key_has_a_finite_gradient(
    make: Callable[[], MultiHeadAttention],
) -> None:
    module = make()
    queries, keys, _ = queries_and_keys()
    keys.requires_grad_()
    attend(module, queries, keys, valid_mask=torch.zeros(3, 5, dtype=torch.bool)).sum().backward()
    gradients = [keys.grad, *(parameter.grad for parameter in module.parameters())]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@PATHS
def test_a_causal_query_attends_to_the_valid_keys_up_to_its_own(
    make: Callable[[], MultiHeadAttention],
) -> None:
    module = make()
    _, keys, valid_mask = queries_and_keys()
    attended = attend(module, keys, keys, valid_mask=valid_mask, causal=True)
    for row, length in enumerate(LENGTHS):
        for last in range(length):
            seen = keys[row, : last + 1]
            torch.testing.assert_close(
                attended[row, last], naive_attention(module, seen[-1:], seen)[0]
            )
    assert attended.isfinite().all()


ONE_EACH = Rows.last_of(torch.ones(3, 1, dtype=torch.bool))


@PATHS
@pytest.mark.parametrize("empty", [False, True])
def test_one_query_of_each_sequence_attends_as_it_does_among_others(
    make: Callable[[], MultiHeadAttention], empty: bool
) -> None:
    module = make()
    queries, keys, valid_mask = queries_and_keys()
    if empty:
        valid_mask = valid_mask & (torch.arange(3) > 0)[:, None]
    query = queries[:, 1].clone().requires_grad_()
    keys.requires_grad_()
    alone = module.of_one(query, keys, of=ONE_EACH, valid_mask=valid_mask)
    among = attend(module, query[:, None], keys, valid_mask=valid_mask)[:, 0]
    torch.testing.assert_close(alone, among)
    weights = torch.randn(alone.shape, generator=torch.Generator().manual_seed(2))
    variables = (query, keys, *module.parameters())
    torch.testing.assert_close(
        torch.autograd.grad((alone * weights).sum(), variables),
        torch.autograd.grad((among * weights).sum(), variables),
    )


def test_weights_of_one_query_are_dropped_with_the_value_of_a_key_and_its_bias() -> None:
    module = attention(dropout_prob=0.5)
    module.dropout = Doubled()  # type: ignore[assignment]
    queries, keys, valid_mask = queries_and_keys()
    torch.testing.assert_close(
        module.of_one(queries[:, 0], keys, of=ONE_EACH, valid_mask=valid_mask),
        attend(module, queries[:, :1], keys, valid_mask=valid_mask)[:, 0],
    )


def test_attention_weights_are_dropped_in_training_only() -> None:
    module = attention(dropout_prob=0.5)
    queries, keys, valid_mask = queries_and_keys()
    plain = attend(attention(), queries, keys, valid_mask=valid_mask)
    assert not attend(module, queries, keys, valid_mask=valid_mask).allclose(plain)
    torch.testing.assert_close(attend(module.eval(), queries, keys, valid_mask=valid_mask), plain)


def test_number_of_heads_that_does_not_divide_the_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"num_heads \(3\) must divide embed_dim \(8\)"):
        MultiHeadAttention(embed_dim=8, num_heads=3, dropout_prob=0.0)
