"""Embeddings of items by their discrete codes.

G codebooks, W codewords in each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.features.codes import ItemCoding
from missrec.nn.item_embeddings import mean_of
from missrec.nn.permutation import CodewordPermutation
from missrec.nn.precision import single
from missrec.types import Catalogue, ItemVectors


class CodeEmbedding(nn.Module):
    """The mean of the embeddings of the codewords that an item has.

    The codes are part of the checkpoint, being what the embeddings were learned for.

    **Source**: VQ-Rec (Hou et al. 2023) section 3.1, Eq. 3 with the mean as Pool.
    **Differs**: an item without codes, and padding, is the zero vector; in the public code it is a
    random one that never trains.
    """

    codewords: Tensor
    present: Tensor
    num_used: Tensor

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        embed_dim: int,
        coding: ItemCoding,
        permutation: Callable[..., CodewordPermutation] | None,
        init_std: float,
    ) -> None:
        """Codes the items and draws an embedding for each codeword.

        Args:
            catalogue: the items of the run.
            embed_dim: D.
            coding: what codes them.
            permutation: of the codewords, without their numbers; None leaves them as they are.
            init_std: standard deviation of the embeddings at the start.
        """
        super().__init__()
        codes = coding(catalogue)
        self._modalities = tuple(catalogue.features.modalities)
        self.register_buffer("codewords", codes.codewords)
        self.register_buffer("present", codes.present)
        self.register_buffer("num_used", codes.num_used, persistent=False)
        num_codebooks, num_codewords = len(codes.num_used), coding.num_codewords
        self.weight = nn.Parameter(torch.empty(num_codebooks, num_codewords, embed_dim))
        nn.init.normal_(self.weight, std=init_std)
        self.permutation = permutation and permutation(
            num_codebooks=num_codebooks, num_codewords=num_codewords
        )

    def forward(self, item_ids: Tensor) -> Tensor:
        """(..., D) of items (...)."""
        unique_ids, inverse = torch.unique(item_ids, return_inverse=True)
        codewords, present = self.codewords[unique_ids].long(), self.present[unique_ids]
        return F.embedding(inverse, self._embed(codewords, present))

    def item_vectors(self, item_ids: Tensor) -> ItemVectors:
        """The items (C,) by modality, each with codebooks of its own."""
        codewords, present = self.codewords[item_ids].long(), self.present[item_ids]  # (C, G)
        num_codebooks = codewords.shape[1] // len(self._modalities)
        modality_of = torch.arange(codewords.shape[1], device=codewords.device) // num_codebooks
        own = [
            present & (modality_of == modality) for modality in range(len(self._modalities))
        ]  # of each modality (C, G)
        tokens = torch.stack([self._embed(codewords, part) for part in own])
        exists = torch.stack([part.any(dim=1) for part in own])
        return mean_of(self._modalities, tokens, present=exists)

    def synthetic(self, item_ids: Tensor, *, prob: float) -> Tensor:
        """(P, D) of items (P,), each codeword of which is replaced with some probability.

        A replacement is uniform over the codewords in use of the same codebook (VQ-Rec 3.2).

        Args:
            item_ids: (P,).
            prob: rho, the probability.
        """
        codewords, present = self.codewords[item_ids].long(), self.present[item_ids]  # (P, G)
        uniform, chance = torch.rand((2, *codewords.shape), device=codewords.device)
        drawn = (uniform * self.num_used).long()
        return self._embed(torch.where(chance < prob, drawn, codewords), present)

    def _embed(self, codewords: Tensor, present: Tensor) -> Tensor:
        """(P, D) of the codewords (P, G) that are present (P, G); zeros where none is."""
        table = self.weight if self.permutation is None else self.permutation(self.weight)
        num_codebooks, num_codewords, _ = table.shape
        firsts = torch.arange(num_codebooks, device=codewords.device) * num_codewords
        rows = single(table).flatten(0, 1)  # (G W, D)
        weights = F.normalize(present.to(rows.dtype), p=1, dim=1)
        return F.embedding_bag(codewords + firsts, rows, per_sample_weights=weights, mode="sum")
