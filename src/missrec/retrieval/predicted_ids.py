"""The id vectors that items would have by their features, as those of other items have.

P known items, Q new ones, F columns of features, D model width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from missrec.features.table import FeatureTable

_FITTED_ON = 20_000
"""Known items; of more, as many spread evenly over them."""
_ITEMS_AT_ONCE = 16_384
_STRENGTHS = np.logspace(0, 7, 15)


def predicted_ids(features: FeatureTable, vectors: Tensor, *, known: Tensor, new: Tensor) -> Tensor:
    """(Q, D) vectors of new items, by a ridge regression of those of known items on their features.

    Its strength is the one that predicts each known item best from all others, in closed form. A
    modality that an item lacks is at its mean, with a column that says so.

    Args:
        features: of all items.
        vectors: (N + 1, D) id vectors.
        known: (P,) items whose vectors are learned, at least 2.
        new: (Q,) items to predict.
    """
    from sklearn.linear_model import RidgeCV  # heavy, and seldom needed

    step = -(-len(known) // _FITTED_ON)
    fitted_on = known[::step]
    scaling = [_scaling(*_feature(features, m, fitted_on)) for m in range(len(features.dims))]

    def columns(item_ids: Tensor) -> np.ndarray:
        """(U, F + M) standardised features, and of each modality whether it is there."""
        parts = []
        for modality, (mean, scale) in enumerate(scaling):
            raw, present = _feature(features, modality, item_ids)
            parts += [np.where(present, (raw - mean) / scale, 0), present]
        return np.hstack(parts)

    ridge = RidgeCV(alphas=_STRENGTHS)
    ridge.fit(columns(fitted_on), vectors[fitted_on.to(vectors.device)].cpu().numpy())
    predicted = [ridge.predict(columns(some)) for some in torch.split(new, _ITEMS_AT_ONCE)]
    return torch.from_numpy(np.concatenate(predicted).reshape(len(new), vectors.shape[1]))


def _feature(
    features: FeatureTable, modality: int, item_ids: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """(U, F) raw features of one modality, zeros where there is none, and (U, 1) where it is."""
    present = features.present(item_ids)[modality].cpu()
    raw = np.zeros((len(item_ids), features.dims[modality]))
    is_there = present.numpy()  # NumPy takes a tensor of one bool for a number
    raw[is_there] = features.lookup(modality, item_ids[present]).cpu().numpy()
    return raw, is_there[:, None]


def _scaling(raw: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F,) mean and (F,) deviation of each column, of the items that have the modality."""
    if not present.any():
        return np.zeros(raw.shape[1]), np.ones(raw.shape[1])
    there = raw[present[:, 0]]
    deviation = there.std(axis=0)
    return there.mean(axis=0), np.where(deviation > 0, deviation, 1)
