"""Embeddings of items by their discrete codes.

G codebooks, W codewords in each.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.features.codes import ItemCoding
from missrec.features.quantization import CodebookArrays
from missrec.features.table import FeatureTable
from missrec.nn.item_embeddings import mean_of
from missrec.nn.permutation import CodewordPermutation
from missrec.nn.precision import repeated, single
from missrec.types import Catalogue, ItemRows, ItemVectors


class _Codebooks(nn.Module):
    """Codebooks of one modality as state; zeros where a checkpoint has none."""

    rotation: Tensor
    centroids: Tensor

    def __init__(self, arrays: CodebookArrays) -> None:
        super().__init__()
        self.register_buffer("rotation", arrays.rotation.clone())  # NumPy's cannot be resized
        self.register_buffer("centroids", arrays.centroids.clone())

    @property
    def arrays(self) -> CodebookArrays:
        return CodebookArrays(self.rotation, self.centroids)

    def _load_from_state_dict(
        self, state_dict: MutableMapping[str, Any], prefix: str, *arguments: Any
    ) -> None:
        for name, own in self.named_buffers():
            found = state_dict.setdefault(prefix + name, torch.zeros_like(own))
            own.resize_(found.shape)  # learned from other items, they may be fewer
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class CodeEmbedding(nn.Module):
    """The mean of the embeddings of the codewords that an item has.

    The codes are part of the checkpoint, being what the embeddings were learned for, and so are the
    codebooks that code new items; checkpoints of before have none.

    **Source**: VQ-Rec (Hou et al. 2023) section 3.1, Eq. 3 with the mean as Pool.
    **Differs**: an item without codes, and padding, is the zero vector; in the public code it is a
    random one that never trains.
    """

    item_rows = (
        ItemRows("codewords", dim=0, is_id=False),
        ItemRows("present", dim=0, is_id=False),
    )
    codewords: Tensor
    present: Tensor
    num_used: Tensor
    _frozen: Tensor | None

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
        self.codebooks = nn.ModuleList(_Codebooks(one) for one in codes.codebooks)
        num_codebooks, num_codewords = len(codes.num_used), coding.num_codewords
        self.weight = nn.Parameter(torch.empty(num_codebooks, num_codewords, embed_dim))
        nn.init.normal_(self.weight, std=init_std)
        self.permutation = permutation and permutation(
            num_codebooks=num_codebooks, num_codewords=num_codewords
        )
        self.register_buffer("_frozen", None, persistent=False)

    def forward(self, item_ids: Tensor) -> Tensor:
        """(..., D) of items (...)."""
        if self._frozen is not None:
            return F.embedding(item_ids, self._frozen)
        unique_ids, inverse = torch.unique(item_ids, return_inverse=True)
        codewords, present = self.codewords[unique_ids].long(), self.present[unique_ids]
        return repeated(self._embed(codewords, present), inverse)

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

    @torch.no_grad()
    def freeze_items(self) -> None:
        """Embeds all items once, see `FreezesItems`."""
        self._frozen = self(torch.arange(len(self.codewords), device=self.codewords.device))

    @torch.no_grad()
    def place(self, item_ids: Tensor, features: FeatureTable) -> None:
        """Codes items that came after training by the codebooks of then, in place.

        Args:
            item_ids: (U,).
            features: of them.

        Raises:
            ValueError: the codebooks were not kept.
        """
        codebooks = [one.arrays for one in self.codebooks if isinstance(one, _Codebooks)]
        if not codebooks or not all(one.rotation.any() for one in codebooks):
            raise ValueError(
                "the codebooks of these item codes were not kept with them, as today, so new items "
                "cannot be coded; train the model anew"
            )
        num_codebooks = self.codewords.shape[1] // len(codebooks)
        for modality, arrays in enumerate(codebooks):
            books = slice(modality * num_codebooks, (modality + 1) * num_codebooks)
            coded = item_ids[features.present(item_ids)[modality]]
            self.codewords[coded, books] = arrays.nearest(features.lookup(modality, coded))

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
