"""Product quantisation of feature vectors.

G codebooks, one for each sub-vector (the paper's D); W codewords in each (the paper's M).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_TRAINING_ITEMS_PER_CODEWORD = 256
"""FAISS's own limit for k-means; it draws as many of more items."""


class CodebookArrays(NamedTuple):
    """What codebooks are, to be kept; W' is the width F filled up so that G divides it.

    Attributes:
        rotation: (W', W') float32, applied to a column.
        centroids: (G, number of codewords, W' / G) float32.
    """

    rotation: Tensor
    centroids: Tensor

    def nearest(self, vectors: Tensor) -> Tensor:
        """(P, G) uint8, the nearest codeword of each sub-vector of vectors (P, F)."""
        num_codebooks, _, width = self.centroids.shape
        filled = F.pad(vectors, (0, len(self.rotation) - vectors.shape[1]))
        parts = (filled @ self.rotation.T).view(len(vectors), num_codebooks, width)
        distances = torch.cdist(parts.transpose(0, 1), self.centroids)  # (G, P, codewords)
        return distances.argmin(dim=2).T.to(torch.uint8)


class Codebooks:
    """A learned rotation and the codewords of each sub-vector, as FAISS objects."""

    def __init__(self, *, rotation: Any, quantizer: Any) -> None:
        """Keeps the trained `OPQMatrix` and `ProductQuantizer`."""
        self.rotation = rotation
        self.quantizer = quantizer

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """(P, G) uint8, the nearest codeword of each sub-vector of the vectors (P, F)."""
        import faiss

        with _one_thread():
            rotated = self.rotation.apply(_filled_up(vectors, width=self.rotation.d_in))
            packed = self.quantizer.compute_codes(rotated)
        codes = faiss.unpack_bitstrings(packed, self.quantizer.M, self.quantizer.nbits)
        return np.asarray(codes, dtype=np.uint8)

    @property
    def arrays(self) -> CodebookArrays:
        """The same without FAISS."""
        import faiss

        width, books = self.rotation.d_in, self.quantizer.M
        rotation = faiss.vector_to_array(self.rotation.A).reshape(width, width)
        centroids = faiss.vector_to_array(self.quantizer.centroids)
        centroids = centroids.reshape(books, -1, width // books)
        return CodebookArrays(torch.from_numpy(rotation), torch.from_numpy(centroids))


class OptimizedProductQuantizer:
    """Learns a rotation and G codebooks of W codewords, so that little is lost.

    With few items there are fewer codewords: the largest power of two that leaves each codebook
    `items_per_codeword` items a codeword, at least 2 and at most W.

    **Source**: VQ-Rec (Hou et al. 2023) section 3.1; optimised product quantisation (Ge et al.
    2013) as `OPQMatrix` and `ProductQuantizer` of FAISS learn it, in one thread.
    **Differs**: VQ-Rec's public code puts an inverted file of one cell before the quantiser, which
    shifts all sub-vectors alike and so changes no code; a width that G does not divide is filled
    up with zeros.
    """

    def __init__(
        self,
        *,
        num_codebooks: int,
        num_codewords: int,
        items_per_codeword: int,
        num_rotations: int,
        seed: int,
    ) -> None:
        """Keeps the settings.

        Args:
            num_codebooks: G.
            num_codewords: W, a power of two in 2..256.
            items_per_codeword: see the class.
            num_rotations: how often the rotation is fitted to the codebooks, and these to it.
            seed: of the k-means, and of the choice among more items than it takes.

        Raises:
            ValueError: a number is outside its range.
        """
        if num_codewords.bit_count() != 1 or not 2 <= num_codewords <= 256:
            raise ValueError(f"num_codewords ({num_codewords}) must be a power of two in 2..256")
        self.settings = {
            "num_codebooks": num_codebooks,
            "num_codewords": num_codewords,
            "items_per_codeword": items_per_codeword,
            "num_rotations": num_rotations,
            "seed": seed,
        }
        for name in ("num_codebooks", "items_per_codeword", "num_rotations"):
            if self.settings[name] < 1:
                raise ValueError(f"{name} ({self.settings[name]}) must be at least 1")
        self.num_codebooks = num_codebooks
        self.num_codewords = num_codewords
        self._items_per_codeword = items_per_codeword
        self._num_rotations = num_rotations
        self._seed = seed

    def num_bits(self, num_items: int) -> int:
        """Base-two logarithm of the number of codewords that so many items allow."""
        allowed = min(self.num_codewords, num_items // self._items_per_codeword)
        return max(1, allowed.bit_length() - 1)

    def sample(self, item_ids: Tensor) -> Tensor:
        """Those of the items (P,) that the codebooks are learned from: all, unless too many."""
        per_codeword = max(_TRAINING_ITEMS_PER_CODEWORD, self._items_per_codeword)
        most = per_codeword << self.num_bits(len(item_ids))
        if len(item_ids) <= most:
            return item_ids
        generator = torch.Generator().manual_seed(self._seed)
        return item_ids[torch.randperm(len(item_ids), generator=generator)[:most].sort().values]

    def learn(self, vectors: np.ndarray) -> Codebooks:
        """The rotation and the codebooks of some vectors.

        Args:
            vectors: (P, F) float32.

        Raises:
            ValueError: there are fewer than two.
        """
        import faiss

        if len(vectors) < 2:
            raise ValueError(f"codes are learned from at least 2 items, not {len(vectors)}")
        bits, width = self.num_bits(len(vectors)), vectors.shape[1]
        width += -width % self.num_codebooks
        vectors = _filled_up(vectors, width=width)
        rotation = faiss.OPQMatrix(width, self.num_codebooks, width)
        rotation.niter = self._num_rotations
        alternating = self._untrained(width, bits)  # named: FAISS does not keep it alive
        rotation.pq = alternating
        quantizer = self._untrained(width, bits)
        with _one_thread():
            # FAISS writes past its memory where it has fewer vectors than dimensions; to repeat all
            # of them equally often moves no optimum.
            rotation.train(np.tile(vectors, (-(-width // len(vectors)), 1)))
            quantizer.train(rotation.apply(vectors))
        rotation.pq = None
        return Codebooks(rotation=rotation, quantizer=quantizer)

    def _untrained(self, width: int, bits: int) -> Any:
        import faiss

        quantizer = faiss.ProductQuantizer(width, self.num_codebooks, bits)
        quantizer.cp.seed = self._seed
        quantizer.cp.min_points_per_centroid = 1  # few items are no mistake, see the class
        return quantizer


@contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS works alone: its sums differ in their last bits with the number of threads.

    That is enough for k-means to go elsewhere, and for other codes: see docs/reliability.md.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _filled_up(vectors: np.ndarray, *, width: int) -> np.ndarray:
    """(P, width) the vectors (P, F) with zeros behind them."""
    return np.pad(vectors, ((0, 0), (0, width - vectors.shape[1])))
