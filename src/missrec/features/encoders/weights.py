"""Digests of weights."""

from __future__ import annotations

import hashlib

from torch import nn


def weights_sha256(model: nn.Module) -> str:
    """Digest of all weights by name, whatever file they came from."""
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()
