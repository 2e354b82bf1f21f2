"""Modality-specific adapters psi: raw features into the model's width (MISSRec 3.2.3)."""

from __future__ import annotations

from torch import Tensor, nn


class LinearAdapter(nn.Linear):
    """One linear map F -> D, the default."""

    def __init__(self, feature_dim: int, embed_dim: int) -> None:
        """F -> D with bias."""
        super().__init__(feature_dim, embed_dim)


class BottleneckAdapter(nn.Module):
    """Linear map F -> D, plus a residual bottleneck D -> bottleneck_dim -> D.

    **Source**: Houlsby et al. 2019, the adapter that MISSRec cites ([27]); the second layer
    starts at zero, so training starts at the linear map.
    """

    def __init__(self, feature_dim: int, embed_dim: int, *, bottleneck_dim: int) -> None:
        """F -> D -> bottleneck_dim -> D."""
        super().__init__()
        self.project = nn.Linear(feature_dim, embed_dim)
        self.down = nn.Linear(embed_dim, bottleneck_dim)
        self.activation = nn.GELU()
        self.up = nn.Linear(bottleneck_dim, embed_dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(P, D) from (P, F)."""
        projected = self.project(features)
        return projected + self.up(self.activation(self.down(projected)))  # type: ignore[no-any-return]
