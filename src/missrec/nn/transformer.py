"""Transformer blocks without any order of their own: positions are the caller's."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn

from missrec.nn.attention import MultiHeadAttention
from missrec.nn.dropout import Dropout
from missrec.nn.linear import Linear
from missrec.nn.rows import Rows


class BlockSettings(NamedTuple):
    """What all blocks of a network share.

    Attributes:
        num_heads: H.
        feedforward_dim: hidden width of the feed-forward part.
        dropout_prob: of attention weights and residuals.
        activation_dropout_prob: of the hidden units of the feed-forward part.
        layer_norm_eps: of every LayerNorm.
    """

    num_heads: int
    feedforward_dim: int
    dropout_prob: float
    activation_dropout_prob: float
    layer_norm_eps: float


class FeedForward(nn.Sequential):
    """Two linear layers with GELU between them."""

    def __init__(self, embed_dim: int, settings: BlockSettings) -> None:
        """D -> feedforward_dim -> D."""
        super().__init__(
            Linear(embed_dim, settings.feedforward_dim),
            nn.GELU(),
            Dropout(settings.activation_dropout_prob),
            Linear(settings.feedforward_dim, embed_dim),
        )

    def forward(self, tokens: Tensor, *, rows: Rows) -> Tensor:  # type: ignore[override]
        """(T, D) from tokens (T, D), the rows of (B, S, D)."""
        widen, activation, dropout, narrow = self
        return narrow(dropout(activation(widen(tokens)), rows=rows))  # type: ignore[no-any-return]


class EncoderBlock(nn.Module):
    """Self-attention and feed-forward, each with residual, then LayerNorm."""

    def __init__(self, embed_dim: int, settings: BlockSettings) -> None:
        """One block of width D."""
        super().__init__()
        self.attention = MultiHeadAttention(
            embed_dim=embed_dim,
            num_heads=settings.num_heads,
            dropout_prob=settings.dropout_prob,
        )
        self.attention_norm = nn.LayerNorm(embed_dim, eps=settings.layer_norm_eps)
        self.feedforward = FeedForward(embed_dim, settings)
        self.feedforward_norm = nn.LayerNorm(embed_dim, eps=settings.layer_norm_eps)
        self.dropout = Dropout(settings.dropout_prob)

    def forward(self, tokens: Tensor, *, rows: Rows, causal: bool = False) -> Tensor:
        """(T, D) from tokens.

        Args:
            tokens: (T, D), the rows of (B, S, D).
            rows: where they stand.
            causal: a token sees itself and the earlier ones only.
        """
        attended = self.attention(tokens, tokens, of=rows, to=rows, causal=causal)
        return self._finish(tokens, attended, rows)

    def last(self, tokens: Tensor, *, valid_mask: Tensor) -> Tensor:
        """(B, D) what `forward` says at the last valid token, without saying it of the others.

        Args:
            tokens: (B, S, D), right-padded.
            valid_mask: (B, S) bool, True = real token.
        """
        last = Rows.last_of(valid_mask)
        token = last.take(tokens)
        attended = self.attention.of_one(token, tokens, of=last, valid_mask=valid_mask)
        return self._finish(token, attended, last)

    def _finish(self, tokens: Tensor, attended: Tensor, rows: Rows) -> Tensor:
        tokens = self.attention_norm(self.dropout.onto(tokens, attended, rows=rows))
        return self.feedforward_norm(  # type: ignore[no-any-return]
            self.dropout.onto(tokens, self.feedforward(tokens, rows=rows), rows=rows)
        )


class DecoderBlock(nn.Module):
    """Self-attention of the queries, cross-attention over a context, feed-forward.

    **Source**: MISSRec section 3.4.2: "the standard design except changing the autoregressive
    attention into the parallel one", so permuting the queries permutes the output.
    """

    def __init__(self, embed_dim: int, settings: BlockSettings) -> None:
        """One block of width D."""
        super().__init__()
        num_heads, dropout_prob = settings.num_heads, settings.dropout_prob
        self.self_attention = MultiHeadAttention(
            embed_dim=embed_dim, num_heads=num_heads, dropout_prob=dropout_prob
        )
        self.self_norm = nn.LayerNorm(embed_dim, eps=settings.layer_norm_eps)
        self.cross_attention = MultiHeadAttention(
            embed_dim=embed_dim, num_heads=num_heads, dropout_prob=dropout_prob
        )
        self.cross_norm = nn.LayerNorm(embed_dim, eps=settings.layer_norm_eps)
        self.feedforward = FeedForward(embed_dim, settings)
        self.feedforward_norm = nn.LayerNorm(embed_dim, eps=settings.layer_norm_eps)
        self.dropout = Dropout(dropout_prob)

    def forward(self, queries: Tensor, context: Tensor, *, of: Rows, to: Rows) -> Tensor:
        """(T, D) decoded queries.

        Args:
            queries: (T, D), the rows of (B, K, D).
            context: (T', D), the rows of (B, S, D).
            of: where the queries stand.
            to: where the context stands.
        """
        attended = self.self_attention(queries, queries, of=of, to=of)
        queries = self.self_norm(self.dropout.onto(queries, attended, rows=of))
        return self._finish(queries, self.cross_attention(queries, context, of=of, to=to), of)

    def last(
        self, queries: Tensor, context: Tensor, *, query_mask: Tensor, context_mask: Tensor
    ) -> Tensor:
        """(B, D) what `forward` says at the last valid query, without saying it of the others.

        Args:
            queries: (B, K, D), right-padded.
            context: (B, S, D).
            query_mask: (B, K) bool, True = real query.
            context_mask: (B, S) bool, True = real token.
        """
        last = Rows.last_of(query_mask)
        query = last.take(queries)
        attended = self.self_attention.of_one(query, queries, of=last, valid_mask=query_mask)
        query = self.self_norm(self.dropout.onto(query, attended, rows=last))
        attended = self.cross_attention.of_one(query, context, of=last, valid_mask=context_mask)
        return self._finish(query, attended, last)

    def _finish(self, queries: Tensor, attended: Tensor, rows: Rows) -> Tensor:
        queries = self.cross_norm(self.dropout.onto(queries, attended, rows=rows))
        return self.feedforward_norm(  # type: ignore[no-any-return]
            self.dropout.onto(queries, self.feedforward(queries, rows=rows), rows=rows)
        )


def initialize_blocks(network: nn.Module, *, std: float | None) -> None:
    """Draws the linear maps of a network anew, as BERT does; query, key and value by Xavier.

    Args:
        network: its `nn.Linear` layers are changed in place.
        std: standard deviation of the weights, biases become 0; None changes nothing.
    """
    if std is None:
        return
    initialize_linear(network, std=std)
    for module in network.modules():
        if isinstance(module, MultiHeadAttention):
            for projection in (module.query, module.key, module.value):
                # Xavier's bound of the one (3 D, D) matrix that torch's own attention keeps.
                bound = math.sqrt(6 / (4 * projection.in_features))
                nn.init.uniform_(projection.weight, -bound, bound)


def initialize_linear(network: nn.Module, *, std: float) -> None:
    """Draws the linear maps of a network anew, all alike, as BERT does.

    Args:
        network: its `nn.Linear` layers are changed in place.
        std: standard deviation of the weights; biases become 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
