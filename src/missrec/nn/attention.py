"""Multi-head attention; the only place that knows torch's mask polarity."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.dropout import Dropout


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
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)
        self.output = nn.Linear(embed_dim, embed_dim)

    def forward(
        self, queries: Tensor, keys: Tensor, *, valid_mask: Tensor, causal: bool = False
    ) -> Tensor:
        """(B, Q, D) from every query to the valid keys.

        Args:
            queries: (B, Q, D).
            keys: (B, S, D), also the values.
            valid_mask: (B, S) bool, True = a query may attend to this key.
            causal: a query attends to no later key; for right-padded self-attention.
        """
        # True = takes part, as in torch's attn_mask. A row without any would give NaN.
        attend = (valid_mask | ~valid_mask.any(dim=1, keepdim=True))[:, None]  # (B, 1, S)
        if causal:
            attend = attend & attend.new_ones(attend.shape[-1], attend.shape[-1]).tril()
        if queries is keys:
            query, key, value = _linear(queries, self.query, self.key, self.value)
        else:
            query = self.query(queries)
            key, value = _linear(keys, self.key, self.value)
        drops = self.training and self._dropout_prob > 0
        # On a CPU torch has no fused kernel with dropout; its fallback copies every operand.
        mix = self._mix_by_head if drops and queries.device.type == "cpu" else self._mix_fused
        return self.output(mix(query, key, value, attend))  # type: ignore[no-any-return]

    def _mix_fused(self, query: Tensor, key: Tensor, value: Tensor, attend: Tensor) -> Tensor:
        """(B, Q, D) by torch's kernel; attend is (B, 1 or Q, S)."""
        mixed = F.scaled_dot_product_attention(
            self._split(query),
            self._split(key),
            self._split(value),
            attn_mask=attend[:, None],
            dropout_p=self._dropout_prob if self.training else 0.0,
        )  # (B, H, Q, D / H)
        return mixed.transpose(1, 2).flatten(2)

    def _mix_by_head(self, query: Tensor, key: Tensor, value: Tensor, attend: Tensor) -> Tensor:
        """The same head by head, on views of the projections."""
        bias = query.new_zeros(attend.shape).masked_fill(~attend, -math.inf)
        scale = 1 / math.sqrt(query.shape[-1] // self._num_heads)
        heads = []
        for q, k, v in zip(
            *(part.chunk(self._num_heads, dim=-1) for part in (query, key, value)), strict=True
        ):
            scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=scale)  # (B, Q, S)
            heads.append(torch.bmm(self.dropout(scores.softmax(dim=-1)), v))
        return torch.cat(heads, dim=-1)

    def _split(self, embeddings: Tensor) -> Tensor:
        """(B, S, D) -> (B, H, S, D / H)."""
        return embeddings.view(*embeddings.shape[:2], self._num_heads, -1).transpose(1, 2)


def _linear(embeddings: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """What each of several equally wide layers gives, by one matrix product."""
    weight = torch.cat([layer.weight for layer in layers])
    bias = torch.cat([layer.bias for layer in layers])
    return F.linear(embeddings, weight, bias).chunk(len(layers), dim=-1)
