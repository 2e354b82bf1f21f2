"""Multi-head attention; the only place that knows torch's mask polarity."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


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
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)
        self.output = nn.Linear(embed_dim, embed_dim)

    def forward(self, queries: Tensor, keys: Tensor, *, valid_mask: Tensor) -> Tensor:
        """(B, Q, D) from every query to the valid keys.

        Args:
            queries: (B, Q, D).
            keys: (B, S, D), also the values.
            valid_mask: (B, S) bool, True = a query may attend to this key.
        """
        # Torch's boolean attn_mask: True = takes part. A row without any would give NaN.
        attend = valid_mask | ~valid_mask.any(dim=1, keepdim=True)
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(queries)),
            self._split(self.key(keys)),
            self._split(self.value(keys)),
            attn_mask=attend[:, None, None, :],
            dropout_p=self._dropout_prob if self.training else 0.0,
        )  # (B, H, Q, D / H)
        return self.output(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, embeddings: Tensor) -> Tensor:
        """(B, S, D) -> (B, H, S, D / H)."""
        return embeddings.view(*embeddings.shape[:2], self._num_heads, -1).transpose(1, 2)
