"""Multi-head attention; the only place that knows torch's mask polarity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.dropout import Dropout
from missrec.nn.linear import Linear, linear
from missrec.nn.rows import Rows

Parts = Sequence[Tensor]
"""A projection (B, S, D), cut in its columns."""


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with H heads (Vaswani et al. 2017, section 3.2).

    **Differs**: a sequence without any valid key attends to its padding evenly instead of giving
    NaN; its queries are padding too, and are left out of every mean.
    """

    def __init__(self, *, embed_dim: int, num_heads: int, dropout_prob: float) -> None:
        """Four projections of width D.

        Args:
            embed_dim: D.
            num_heads: H.
            dropout_prob: of the attention weights.

        Raises:
            ValueError: num_heads does not divide embed_dim.
        """
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"num_heads ({num_heads}) must divide embed_dim ({embed_dim})")
        self._num_heads = num_heads
        self._dropout_prob = dropout_prob
        self.dropout = Dropout(dropout_prob)
        self.query = Linear(embed_dim, embed_dim)
        self.key = Linear(embed_dim, embed_dim)
        self.value = Linear(embed_dim, embed_dim)
        self.output = Linear(embed_dim, embed_dim)

    def forward(
        self, queries: Tensor, keys: Tensor, *, of: Rows, to: Rows, causal: bool = False
    ) -> Tensor:
        """(T, D) from every query to the valid keys of its sequence.

        Args:
            queries: (T, D), the rows of (B, Q, D).
            keys: (T', D), the rows of (B, S, D), also the values.
            of: where the queries stand.
            to: where the keys stand, and which of them a query may attend to.
            causal: a query attends to no later key; for right-padded self-attention.
        """
        attend = to.mask[:, None]  # (B, 1, S), True = takes part, as in torch's attn_mask
        if causal:
            attend = attend & attend.new_ones(attend.shape[-1], attend.shape[-1]).tril()
        # On a CPU torch has no fused kernel with dropout; its fallback copies every operand.
        by_head = self.training and self._dropout_prob > 0 and queries.device.type == "cpu"
        count = self._num_heads if by_head else 1
        if queries is keys:
            projected = to.spread(_linear(queries, self.query, self.key, self.value))
            parts = projected.chunk(3 * count, dim=-1)
        else:
            projected = to.spread(_linear(keys, self.key, self.value))
            query = of.spread(self.query(queries))
            parts = (*query.chunk(count, dim=-1), *projected.chunk(2 * count, dim=-1))
        mix = self._mix_by_head if by_head else self._mix_fused
        mixed = mix(parts[:count], parts[count:-count], parts[-count:], attend)
        return self.output(of.take(mixed))  # type: ignore[no-any-return]

    def of_one(self, queries: Tensor, keys: Tensor, *, of: Rows, valid_mask: Tensor) -> Tensor:
        """(B, D) from one query of each sequence, without projecting all its keys and values.

        <q, W c + b> = <W^T q, c> + <q, b>, and a weighted sum of W c + b is W times that of c, plus
        b times the weights, which dropout leaves not at 1.

        Args:
            queries: (B, D).
            keys: (B, S, D), also the values.
            of: where the queries stand.
            valid_mask: (B, S) bool, True = the query may attend to this key.
        """
        attend = Rows.of(valid_mask, with_padding=True).mask[:, None]  # (B, 1, S)
        width = queries.shape[1] // self._num_heads
        by_head = (self._num_heads, width)  # of the D outputs of a projection
        heads = self.query(queries).view(-1, *by_head).transpose(0, 1)  # (H, B, D / H)
        folded = heads @ self.key.weight.view(*by_head, -1)  # (H, B, D)
        shift = heads @ self.key.bias.view(*by_head, 1)  # (H, B, 1)
        scores = folded.transpose(0, 1) @ keys.transpose(1, 2) + shift.transpose(0, 1)
        scores = (scores / math.sqrt(width)).masked_fill(~attend, -math.inf)
        weights = torch.stack(
            [self.dropout(head, rows=of) for head in scores.softmax(dim=-1).unbind(dim=1)], dim=1
        )  # (B, H, S)
        mixed = (weights @ keys).transpose(0, 1)  # (H, B, D)
        total = weights.sum(dim=-1, keepdim=True).transpose(0, 1)  # (H, B, 1)
        value = mixed @ self.value.weight.view(*by_head, -1).transpose(1, 2)
        value = value + total * self.value.bias.view(self._num_heads, 1, width)  # (H, B, D / H)
        return self.output(value.transpose(0, 1).flatten(1))  # type: ignore[no-any-return]

    def _mix_fused(self, query: Parts, key: Parts, value: Parts, attend: Tensor) -> Tensor:
        """(B, Q, D) by torch's kernel, of one part each; attend is (B, 1 or Q, S)."""
        mixed = F.scaled_dot_product_attention(
            self._split(query[0]),
            self._split(key[0]),
            self._split(value[0]),
            attn_mask=attend[:, None],
            dropout_p=self._dropout_prob if self.training else 0.0,
        )  # (B, H, Q, D / H)
        return mixed.transpose(1, 2).flatten(2)

    def _mix_by_head(self, query: Parts, key: Parts, value: Parts, attend: Tensor) -> Tensor:
        """The same head by head, of a part for each, on views of the projections."""
        bias = query[0].new_zeros(attend.shape).masked_fill(~attend, -math.inf)
        scale = 1 / math.sqrt(query[0].shape[-1])
        heads = []
        for q, k, v in zip(query, key, value, strict=True):
            scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=scale)  # (B, Q, S)
            heads.append(torch.bmm(self.dropout(scores.softmax(dim=-1)), v))
        return torch.cat(heads, dim=-1)

    def _split(self, embeddings: Tensor) -> Tensor:
        """(B, S, D) -> (B, H, S, D / H)."""
        return embeddings.view(*embeddings.shape[:2], self._num_heads, -1).transpose(1, 2)


def _linear(rows: Tensor, *layers: nn.Linear) -> Tensor:
    """What each of several layers gives, side by side, by one matrix product."""
    weight = torch.cat([layer.weight for layer in layers])
    return linear(rows, weight, torch.cat([layer.bias for layer in layers]))
