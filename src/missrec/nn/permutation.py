"""Permutations of the codewords of each codebook.

G codebooks, W codewords in each.
"""

from __future__ import annotations

from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from missrec.nn.precision import full_precision, single


class CodewordPermutation(nn.Module):
    """Says which embedding each codeword takes; at first its own.

    **Source**: VQ-Rec (Hou et al. 2023) section 3.3, E' = Pi E for each codebook.
    """

    permutation: Tensor

    def __init__(self, *, num_codebooks: int, num_codewords: int) -> None:
        """The identity.

        Args:
            num_codebooks: G.
            num_codewords: W.
        """
        super().__init__()
        self.register_buffer("permutation", torch.arange(num_codewords).repeat(num_codebooks, 1))

    def forward(self, table: Tensor) -> Tensor:
        """(G, W, D) the embeddings (G, W, D) in the order of the codewords that take them."""
        return table.gather(1, self.permutation[..., None].expand_as(table))


class LearnedPermutation(CodewordPermutation):
    """Learns it: in training the permutation is relaxed, in evaluation rounded.

    In training the embeddings are multiplied by doubly stochastic matrices, which are mixtures of
    permutations (Birkhoff): Sinkhorn's normalisation of exp((logits + Gumbel noise) / temperature).
    Evaluation takes the permutation with the largest sum of logits.

    **Source**: VQ-Rec section 3.3; Gumbel-Sinkhorn (Mena et al. 2018).
    **Differs**: the public code rounds each row by itself, so that codewords can share an
    embedding, and lets no gradient pass the rounding, so that the start is never left; there
    padding is permuted too.
    """

    def __init__(
        self,
        *,
        num_codebooks: int,
        num_codewords: int,
        temperature: float,
        num_iterations: int,
        init_std: float,
    ) -> None:
        """A random start: the codewords of two domains have nothing in common.

        Args:
            num_codebooks: G.
            num_codewords: W.
            temperature: above 0; the lower, the nearer the matrices are to permutations.
            num_iterations: of Sinkhorn's normalisation, at least 1.
            init_std: standard deviation of the logits at the start.

        Raises:
            ValueError: temperature or num_iterations is outside its range.
        """
        super().__init__(num_codebooks=num_codebooks, num_codewords=num_codewords)
        if not temperature > 0:
            raise ValueError(f"temperature ({temperature}) must be above 0")
        if num_iterations < 1:
            raise ValueError(f"num_iterations ({num_iterations}) must be at least 1")
        self._temperature = temperature
        self._num_iterations = num_iterations
        self.logits = nn.Parameter(torch.empty(num_codebooks, num_codewords, num_codewords))
        nn.init.normal_(self.logits, std=init_std)
        self._round()

    def forward(self, table: Tensor) -> Tensor:
        """(G, W, D) the embeddings (G, W, D), mixed in training, permuted in evaluation."""
        if not self.training:
            return super().forward(table)
        with full_precision(table.device.type):
            return self.relaxed() @ single(table)

    def relaxed(self) -> Tensor:
        """(G, W, W) doubly stochastic matrices, drawn anew."""
        uniform = torch.rand_like(self.logits).clamp_min(torch.finfo(self.logits.dtype).tiny)
        gumbel = -torch.log(-torch.log(uniform))
        return sinkhorn(
            (self.logits + gumbel) / self._temperature, num_iterations=self._num_iterations
        )

    def train(self, mode: bool = True) -> LearnedPermutation:
        """Rounds what was learned when training ends."""
        if self.training and not mode:
            self._round()
        return super().train(mode)

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """A checkpoint inside an epoch has the permutation of its own logits."""
        if self.training:
            self._round()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _round(self) -> None:
        self.permutation.copy_(nearest_permutation(self.logits.detach()))


def sinkhorn(logits: Tensor, *, num_iterations: int) -> Tensor:
    """(G, W, W) exp(logits) with columns and rows scaled in turn to sums of 1.

    Args:
        logits: (G, W, W).
        num_iterations: the rows come last and sum to 1, the columns do in the limit.
    """
    for _ in range(num_iterations):
        logits = logits - logits.logsumexp(dim=1, keepdim=True)
        logits = logits - logits.logsumexp(dim=2, keepdim=True)
    return logits.exp()


def nearest_permutation(logits: Tensor) -> Tensor:
    """(G, W) int64, the columns that maximise the sum of logits (G, W, W), one for each row."""
    columns = [
        torch.from_numpy(linear_sum_assignment(matrix, maximize=True)[1])
        for matrix in logits.cpu().numpy()
    ]
    return torch.stack(columns).to(logits.device)
