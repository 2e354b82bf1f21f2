"""A permutation of the codewords of each codebook, relaxed while it is learned.

G codebooks, W codewords in each.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from missrec.nn.precision import full_precision, single


class CodewordPermutation(nn.Module):
    """Says which embedding a codeword of another domain stands for.

    While it learns, the table of each codebook is multiplied by a doubly stochastic matrix, which
    is a mixture of permutations (Birkhoff): Sinkhorn's normalisation of exp((logits + Gumbel
    noise) / temperature). In evaluation, and where it does not learn, it is the permutation with
    the largest sum of logits.

    **Source**: VQ-Rec (Hou et al. 2023) section 3.3, E' = Pi E; the relaxation is Gumbel-Sinkhorn
    (Mena et al. 2018).
    **Differs**: the public code rounds each row by itself, so that rows can share an embedding,
    and its rounding lets no gradient pass; there padding takes part in the permutation.
    """

    permutation: Tensor

    def __init__(
        self,
        *,
        num_codebooks: int,
        num_codewords: int,
        learns: bool,
        temperature: float,
        num_iterations: int,
        init_std: float,
    ) -> None:
        """A random start, far from no permutation.

        Args:
            num_codebooks: G.
            num_codewords: W.
            learns: false holds what was learned.
            temperature: above 0; the lower, the nearer the matrix is to a permutation.
            num_iterations: of Sinkhorn's normalisation, at least 1.
            init_std: standard deviation of the logits at the start.

        Raises:
            ValueError: temperature or num_iterations is outside its range.
        """
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature ({temperature}) must be above 0")
        if num_iterations < 1:
            raise ValueError(f"num_iterations ({num_iterations}) must be at least 1")
        self._temperature = temperature
        self._num_iterations = num_iterations
        logits = torch.randn(num_codebooks, num_codewords, num_codewords) * init_std
        self.logits = nn.Parameter(logits, requires_grad=learns)
        self.register_buffer("permutation", nearest_permutation(logits))

    def forward(self, table: Tensor) -> Tensor:
        """(G, W, D) the embeddings (G, W, D) in the order of this domain's codewords."""
        if self.training and self.logits.requires_grad:
            with full_precision(table.device.type):
                return self.relaxed() @ single(table)
        return table.gather(1, self.permutation[..., None].expand_as(table))

    def relaxed(self) -> Tensor:
        """(G, W, W) doubly stochastic matrices, drawn anew."""
        uniform = torch.rand_like(self.logits).clamp_min(torch.finfo(self.logits.dtype).tiny)
        gumbel = -torch.log(-torch.log(uniform))
        return sinkhorn(
            (self.logits + gumbel) / self._temperature, num_iterations=self._num_iterations
        )

    def train(self, mode: bool = True) -> CodewordPermutation:
        """Rounds what was learned when evaluation starts."""
        if not mode and self.logits.requires_grad:
            self.permutation.copy_(nearest_permutation(self.logits.detach()))
        return super().train(mode)


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
