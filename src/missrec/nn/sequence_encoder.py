"""The Transformer over one embedding an item that most sequential recommenders share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from missrec.nn.dropout import Dropout
from missrec.nn.pooling import places_from_end
from missrec.nn.rows import Rows
from missrec.nn.transformer import BlockSettings, EncoderBlock, initialize_linear
from missrec.types import PAD_ID, SequenceBatch

_FROM_END = "its positions count from the last item of each"


class CausalEncoder(Protocol):
    """What reads items (B, L, D) from the oldest on."""

    @property
    def __call__(self) -> Callable[..., Any]:
        """(B, L, D) what it says at each item, see `SequenceEncoder`."""

    def last(self, items: Tensor, *, valid_mask: Tensor, causal: bool) -> Tensor:
        """(B, D) what it says at the last item."""


def before_targets(encoder: CausalEncoder, items: Tensor, batch: SequenceBatch) -> Tensor:
    """(P, D) what an encoder says where the items `batch.asked_ids` are to be predicted.

    Args:
        encoder: reads the items.
        items: (B, L, D) embeddings of the histories.
        batch: with targets (B,) after the last items, or (B, L) after some or all.
    """
    if batch.target_ids.ndim == 1:
        return encoder.last(items, valid_mask=batch.valid_mask, causal=True)
    hidden: Tensor = encoder(items, valid_mask=batch.valid_mask, causal=True)
    return hidden[batch.target_ids != PAD_ID]


class PositionedItems(nn.Module):
    """Item embeddings plus learned positions, LayerNorm, dropout."""

    def __init__(
        self,
        *,
        embed_dim: int,
        max_seq_len: int,
        block: BlockSettings,
        init_std: float,
        positions_from_end: bool = False,
    ) -> None:
        """Positions for sequences of up to max_seq_len items, normal with `init_std`.

        Args:
            embed_dim: D.
            max_seq_len: longest sequence.
            block: its dropout and epsilon.
            init_std: standard deviation of the positions at the start.
            positions_from_end: position 0 is the most recent item, not the oldest.
        """
        super().__init__()
        self.positions_from_end = positions_from_end
        self.positions = nn.Embedding(max_seq_len, embed_dim)
        self.norm = nn.LayerNorm(embed_dim, eps=block.layer_norm_eps)
        self.dropout = Dropout(block.dropout_prob)
        nn.init.normal_(self.positions.weight, std=init_std)

    def forward(self, items: Tensor, *, valid_mask: Tensor) -> Tensor:
        """(B, L, D) from item embeddings (B, L, D); valid_mask (B, L) is True at real items."""
        if self.positions_from_end:
            places = places_from_end(valid_mask)
        else:
            places = torch.arange(items.shape[1], device=items.device)
        return self.dropout(self.norm(items + self.positions(places)))  # type: ignore[no-any-return]


class EncoderStack(nn.Module):
    """Encoder blocks one after the other."""

    def __init__(
        self, *, embed_dim: int, block: BlockSettings, num_blocks: int, init_std: float
    ) -> None:
        """Linear maps start normal with `init_std`, as in BERT."""
        super().__init__()
        self.blocks = nn.ModuleList(EncoderBlock(embed_dim, block) for _ in range(num_blocks))
        initialize_linear(self, std=init_std)

    def forward(self, tokens: Tensor, *, valid_mask: Tensor, causal: bool) -> Tensor:
        """(B, L, D), see `EncoderBlock`; zeros at padding."""
        return self._read(self.blocks, tokens, valid_mask=valid_mask, causal=causal)

    def last(self, tokens: Tensor, *, valid_mask: Tensor, causal: bool) -> Tensor:
        """(B, D) what `forward` says at the last token, with the last block for that alone."""
        *blocks, last = self.blocks
        tokens = self._read(blocks, tokens, valid_mask=valid_mask, causal=causal)
        return cast("EncoderBlock", last).last(tokens, valid_mask=valid_mask)

    def _read(
        self, blocks: Iterable[nn.Module], tokens: Tensor, *, valid_mask: Tensor, causal: bool
    ) -> Tensor:
        rows = Rows.of(valid_mask)
        read = rows.take(tokens)
        for block in blocks:
            read = block(read, rows=rows, causal=causal)
        return rows.spread(read)


class SequenceEncoder(nn.Module):
    """`PositionedItems`, then an `EncoderStack`.

    **Source**: SASRec (Kang and McAuley 2018) if causal, BERT4Rec (Sun et al. 2019) if not, both
    with LayerNorm after each residual and BERT's start of the weights, as in RecBole, whose code
    the published numbers come from.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        max_seq_len: int,
        block: BlockSettings,
        num_blocks: int,
        init_std: float,
        positions_from_end: bool = False,
    ) -> None:
        """An encoder of `num_blocks` blocks of width D; for the others see `PositionedItems`."""
        super().__init__()
        self.input = PositionedItems(
            embed_dim=embed_dim,
            max_seq_len=max_seq_len,
            block=block,
            init_std=init_std,
            positions_from_end=positions_from_end,
        )
        self.stack = EncoderStack(
            embed_dim=embed_dim, block=block, num_blocks=num_blocks, init_std=init_std
        )

    @property
    def each_prefix_alone(self) -> str | None:
        """Why what it says at an item serves no prefix that ends there, see `SaysWhichPrefixes`."""
        return _FROM_END if self.input.positions_from_end else None

    @property
    def max_seq_len(self) -> int:
        """The longest sequence that there are positions for."""
        return self.input.positions.num_embeddings

    def forward(self, items: Tensor, *, valid_mask: Tensor, causal: bool) -> Tensor:
        """(B, L, D) what the encoder says at each item; at padding nothing that means anything.

        Args:
            items: (B, L, D) embeddings, oldest first, right-padded.
            valid_mask: (B, L) bool, True = real item.
            causal: an item sees itself and the earlier ones only.
        """
        items = self.input(items, valid_mask=valid_mask)
        return self.stack(items, valid_mask=valid_mask, causal=causal)  # type: ignore[no-any-return]

    def last(self, items: Tensor, *, valid_mask: Tensor, causal: bool) -> Tensor:
        """(B, D) what `forward` says at the last item, without saying it of the others."""
        items = self.input(items, valid_mask=valid_mask)
        return self.stack.last(items, valid_mask=valid_mask, causal=causal)
