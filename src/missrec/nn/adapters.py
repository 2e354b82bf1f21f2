"""Modality-specific adapters psi: raw features into the model's width (MISSRec 3.2.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.features.table import FeatureTable
from missrec.nn.dropout import Dropout
from missrec.nn.linear import Linear

_INIT_STD = 0.02
_NOISE_FLOOR = 0.01
_ROWS_AT_ONCE = 65_536


def modality_adapters(
    features: FeatureTable, *, embed_dim: int, adapter: Callable[[int, int], nn.Module]
) -> nn.ModuleDict:
    """Modality -> the adapter of its features, in the order of the table.

    Args:
        features: F of each modality.
        embed_dim: D.
        adapter: (F, D) -> module.
    """
    adapters = nn.ModuleDict(
        {
            modality: adapter(width, embed_dim)
            for modality, width in zip(features.modalities, features.dims, strict=True)
        }
    )
    for place, module in enumerate(adapters.values()):
        alike = [part for part in module.modules() if isinstance(part, Standardized)]
        for part in alike[:1]:  # the features are read once
            part.learn_features(_rows(features, place))
        for part in alike[1:]:
            part.mean.copy_(alike[0].mean)
            part.size.copy_(alike[0].size)
    return adapters


def _rows(features: FeatureTable, modality: int) -> Iterator[Tensor]:
    """All rows (P, F) of a modality, in blocks."""
    item_ids = features.all_ids()
    item_ids = item_ids[features.present(item_ids)[modality]]
    for first in range(0, len(item_ids), _ROWS_AT_ONCE):
        yield features.lookup(modality, item_ids[first : first + _ROWS_AT_ONCE])


class LinearAdapter(Linear):
    """One linear map F -> D, the default."""

    def __init__(self, feature_dim: int, embed_dim: int) -> None:
        """F -> D with bias."""
        super().__init__(feature_dim, embed_dim)


class RectifiedAdapter(nn.Sequential):
    """Linear map F -> D, then ReLU.

    **Source**: the adapter of FDSA and S³-Rec as UniSRec's authors run them.
    """

    def __init__(self, feature_dim: int, embed_dim: int) -> None:
        """F -> D."""
        super().__init__(Linear(feature_dim, embed_dim), nn.ReLU())


class BottleneckAdapter(nn.Module):
    """Linear map F -> D, plus a residual bottleneck D -> bottleneck_dim -> D.

    **Source**: Houlsby et al. 2019, the adapter that MISSRec cites ([27]); the second layer
    starts at zero, so training starts at the linear map.
    """

    def __init__(self, feature_dim: int, embed_dim: int, *, bottleneck_dim: int) -> None:
        """F -> D -> bottleneck_dim -> D."""
        super().__init__()
        self.project = Linear(feature_dim, embed_dim)
        self.down = Linear(embed_dim, bottleneck_dim)
        self.activation = nn.GELU()
        self.up = Linear(bottleneck_dim, embed_dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(P, D) from (P, F)."""
        projected = self.project(features)
        return projected + self.up(self.activation(self.down(projected)))  # type: ignore[no-any-return]


class MixtureOfExpertsAdapter(nn.Module):
    """Mixture of experts, each a parametric whitening, behind a noisy gate over all of them.

    **Source**: Hou et al. 2022, UniSRec section 2.1.2 and its public code: an expert is
    (dropout(f) - b) W, the gate softmax(f W_g + noise), the noise of training scaled by
    softplus(f W_n).
    """

    def __init__(
        self, feature_dim: int, embed_dim: int, *, num_experts: int, dropout_prob: float
    ) -> None:
        """F -> D through `num_experts` whitenings.

        Args:
            feature_dim: F.
            embed_dim: D.
            num_experts: at least 1.
            dropout_prob: of the features, drawn for each expert.

        Raises:
            ValueError: num_experts < 1.
        """
        super().__init__()
        if num_experts < 1:
            raise ValueError(f"num_experts ({num_experts}) must be at least 1")
        self.dropout = Dropout(dropout_prob)
        self.shift = nn.Parameter(torch.zeros(num_experts, feature_dim))
        self.whitening = nn.Parameter(torch.empty(num_experts, feature_dim, embed_dim))
        self.gate = nn.Parameter(torch.zeros(feature_dim, num_experts))
        self.gate_noise = nn.Parameter(torch.zeros(feature_dim, num_experts))
        nn.init.normal_(self.whitening, std=_INIT_STD)

    def forward(self, features: Tensor) -> Tensor:
        """(P, D) from (P, F)."""
        experts = [
            (self.dropout(features) - shift) @ whitening
            for shift, whitening in zip(self.shift, self.whitening, strict=True)
        ]
        votes = features @ self.gate
        if self.training:
            noise_std = F.softplus(features @ self.gate_noise) + _NOISE_FLOOR
            votes = votes + torch.randn_like(votes) * noise_std
        weights = votes.softmax(dim=-1)  # (P, E)
        return torch.einsum("pe,ped->pd", weights, torch.stack(experts, dim=1))


class NoAdapter(nn.Identity):
    """The raw features themselves (MISSRec Table 5, row 2)."""

    def __init__(self, feature_dim: int, embed_dim: int) -> None:
        """F = D.

        Raises:
            ValueError: the widths differ.
        """
        if feature_dim != embed_dim:
            raise ValueError(
                f"embed_dim ({embed_dim}) must be the width of the features ({feature_dim}) "
                "without adapters; None takes it"
            )
        super().__init__()


class Standardized(nn.Module):
    """Features around 0 and of one size, whatever their encoder gave.

    Features of CLIP share a large mean that tells nothing, those of LSA are twenty times smaller
    than what the start of a linear map is made for. Mean and size are those of the catalogue that
    the model was made for; checkpoints keep them.
    """

    mean: Tensor
    size: Tensor

    def __init__(self, feature_dim: int) -> None:
        """F -> F; changes nothing before `learn_features`."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(feature_dim))
        self.register_buffer("size", torch.ones(()))

    def learn_features(self, blocks: Iterable[Tensor]) -> None:
        """Takes the mean (F,) and the size, the root of the mean variance, of rows (P, F).

        Args:
            blocks: all rows, in parts; without any, nothing changes.
        """
        count, total, squares = 0, torch.zeros_like(self.mean, dtype=torch.float64), 0.0
        for block in blocks:
            rows = block.double()
            count += len(rows)
            total += rows.sum(dim=0)
            squares += rows.square().sum().item()
        if not count:
            return
        mean = total / count
        variance = squares / count - mean.square().sum().item()
        self.mean.copy_(mean)
        self.size.fill_(max(variance / len(mean), 0.0) ** 0.5 or 1.0)

    def forward(self, features: Tensor) -> Tensor:
        """(P, F) from (P, F)."""
        return (features - self.mean) / self.size


class StandardizedAdapter(Standardized):
    """One linear map F -> D of standardized features."""

    def __init__(self, feature_dim: int, embed_dim: int) -> None:
        """F -> D with bias."""
        super().__init__(feature_dim)
        self.project = Linear(feature_dim, embed_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(P, D) from (P, F)."""
        return self.project(super().forward(features))  # type: ignore[no-any-return]
