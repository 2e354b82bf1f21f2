"""What extraction asks of an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from missrec.features.inputs import OK

TRUNCATED, UNREADABLE, NO_KNOWN_WORD = "truncated", "unreadable", "no_known_word"
ENCODED = (OK, TRUNCATED)
"""Outcomes of inputs that have features."""


class Loaded(NamedTuple):
    """Inputs of one batch, ready for `Encoder.encode`.

    Attributes:
        values: (B, ...) tokens or pixels, B texts, or whatever the encoder reads; the row of an
            input that cannot be encoded holds anything finite.
        outcomes: of each input; only those of `ENCODED` get features.
    """

    values: Any
    outcomes: list[str]


class Encoder(Protocol):
    """Turns texts and images into features.

    One that is an `nn.Module` is moved to the device that encodes; it is used in evaluation mode,
    without gradients.

    Attributes:
        modalities: what it can encode, of `text` and `image`.
    """

    modalities: Sequence[str]

    def description(self, modality: str) -> Mapping[str, Any]:
        """All that the features depend on, as plain values: weights, preprocessing, versions.

        Features with the same description are interchangeable; a change starts extraction anew.
        """

    def load(self, modality: str, inputs: Sequence[str]) -> Loaded:
        """Reads and prepares texts, or image files by their paths; called by loader workers."""

    def encode(self, modality: str, values: Any) -> Tensor:
        """(B, F) float features of `Loaded.values` on the encoder's device."""
