"""Blocks over padded sequences, with a row for each entry."""

from __future__ import annotations

from torch import Tensor, nn

from missrec.nn.rows import Rows


def encoded_by(
    block: nn.Module, tokens: Tensor, *, valid_mask: Tensor, with_padding: bool = True
) -> Tensor:
    """(B, S, D) what an encoder block makes of tokens (B, S, D)."""
    rows = Rows.of(valid_mask, with_padding=with_padding)
    return rows.spread(block(rows.take(tokens), rows=rows))


def decoded_by(
    block: nn.Module,
    queries: Tensor,
    context: Tensor,
    *,
    query_mask: Tensor,
    context_mask: Tensor,
    with_padding: bool = True,
) -> Tensor:
    """(B, K, D) what a decoder block makes of queries (B, K, D) and their context (B, S, D)."""
    of = Rows.of(query_mask, with_padding=with_padding)
    to = Rows.of(context_mask, with_padding=with_padding)
    return of.spread(block(of.take(queries), to.take(context), of=of, to=to))
