"""The recurrent network over one embedding an item."""

from __future__ import annotations

from torch import Tensor, nn

from missrec.nn.dropout import Dropout
from missrec.nn.pooling import last_valid


class GRUEncoder(nn.Module):
    """A GRU that reads the items from the oldest on, behind a dropout of its input.

    **Source**: GRU4Rec (Hidasi et al. 2016).
    """

    def __init__(self, *, embed_dim: int, num_layers: int, dropout_prob: float) -> None:
        """`num_layers` layers with states of width D."""
        super().__init__()
        self.dropout = Dropout(dropout_prob)
        self.network = nn.GRU(embed_dim, embed_dim, num_layers, batch_first=True)

    def forward(self, items: Tensor, *, valid_mask: Tensor, causal: bool) -> Tensor:
        """(B, L, D) the state after each item.

        Args:
            items: (B, L, D) embeddings, oldest first, right-padded.
            valid_mask: (B, L) bool, True = real item; not needed, as padding comes last.
            causal: True, since a state knows nothing of later items.

        Raises:
            ValueError: causal is False.
        """
        if not causal:
            raise ValueError("causal (False) must be True: a GRU reads forwards only")
        states: Tensor = self.network(self.dropout(items))[0]
        return states

    def last(self, items: Tensor, *, valid_mask: Tensor, causal: bool) -> Tensor:
        """(B, D) the state after the last item."""
        states = self(items, valid_mask=valid_mask, causal=causal)
        return last_valid(states, valid_mask)
