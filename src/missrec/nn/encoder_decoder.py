"""A Transformer that reads a set of tokens and decodes a set of queries."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from missrec.nn.dropout import Dropout
from missrec.nn.transformer import DecoderBlock, EncoderBlock


class Decoded(NamedTuple):
    """What a sequence network makes of a batch; its mean is the sequence embedding.

    Attributes:
        embeddings: (B, K, D).
        valid_mask: (B, K) bool, True = takes part in the mean.
    """

    embeddings: Tensor
    valid_mask: Tensor


class EncoderDecoder(nn.Module):
    """Encoder over the item tokens, decoder whose queries are the interests.

    **Source**: MISSRec sections 3.4.1 and 3.4.2, K_e encoder and K_d decoder blocks.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_heads: int,
        feedforward_dim: int,
        dropout_prob: float,
        num_encoder_blocks: int,
        num_decoder_blocks: int,
    ) -> None:
        """Both inputs pass LayerNorm and dropout first, as in SASRec and BERT4Rec."""
        super().__init__()
        self.token_norm = nn.LayerNorm(embed_dim)
        self.query_norm = nn.LayerNorm(embed_dim)
        self.dropout = Dropout(dropout_prob)
        self.encoder = nn.ModuleList(
            EncoderBlock(
                embed_dim=embed_dim,
                num_heads=num_heads,
                feedforward_dim=feedforward_dim,
                dropout_prob=dropout_prob,
            )
            for _ in range(num_encoder_blocks)
        )
        self.decoder = nn.ModuleList(
            DecoderBlock(
                embed_dim=embed_dim,
                num_heads=num_heads,
                feedforward_dim=feedforward_dim,
                dropout_prob=dropout_prob,
            )
            for _ in range(num_decoder_blocks)
        )

    def forward(
        self, tokens: Tensor, queries: Tensor, *, token_mask: Tensor, query_mask: Tensor
    ) -> Decoded:
        """The decoded queries (B, K, D).

        Args:
            tokens: (B, S, D), positions added.
            queries: (B, K, D).
            token_mask: (B, S) bool, True = real token.
            query_mask: (B, K) bool, True = real query.
        """
        context = self.dropout(self.token_norm(tokens))
        for block in self.encoder:
            context = block(context, valid_mask=token_mask)
        decoded = self.dropout(self.query_norm(queries))
        for block in self.decoder:
            decoded = block(decoded, context, query_mask=query_mask, context_mask=token_mask)
        return Decoded(decoded, query_mask)
