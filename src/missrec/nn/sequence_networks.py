"""Transformers from the tokens and interests of a sequence to one sequence embedding."""

from __future__ import annotations

from typing import NamedTuple, cast

from torch import Tensor, nn

from missrec.interests.index import InterestTokens
from missrec.nn.dropout import Dropout
from missrec.nn.pooling import masked_mean
from missrec.nn.rows import Rows
from missrec.nn.transformer import BlockSettings, DecoderBlock, EncoderBlock, initialize_blocks


class ItemTokens(NamedTuple):
    """The items of a batch of sequences, one token for each modality that an item has.

    Attributes:
        modalities: (B, M, L, D) adapted features; zeros where there is no token.
        present: (B, M, L) bool, True = the item is real and has the modality.
        shared: (B, L, D) what all tokens of an item share: its position, and its id if any.
        valid_mask: (B, L) bool, True = real item.
    """

    modalities: Tensor
    present: Tensor
    shared: Tensor
    valid_mask: Tensor

    def by_modality(self) -> tuple[Tensor, Tensor]:
        """(B, M L, D) tokens of all modalities, concatenated (MISSRec 3.4.1), and their mask."""
        tokens = self.modalities + self.shared[:, None]
        return tokens.flatten(1, 2), self.present.flatten(1)


class EncodedSequence(NamedTuple):
    """What a sequence network makes of a batch.

    Attributes:
        sequence: (B, D) sequence embedding, of any length.
        interests: (B, K, D) the vectors that the orthogonal regularisation holds apart.
        valid_mask: (B, K) bool, True = real.
    """

    sequence: Tensor
    interests: Tensor
    valid_mask: Tensor


class EncoderDecoder(nn.Module):
    """Encoder over the item tokens, decoder whose queries are the interests; their mean.

    **Source**: MISSRec sections 3.4.1 and 3.4.2, K_e encoder and K_d decoder blocks.
    """

    reads_items = True

    def __init__(
        self,
        *,
        embed_dim: int,
        block: BlockSettings,
        num_encoder_blocks: int,
        num_decoder_blocks: int,
        init_std: float | None,
    ) -> None:
        """Both inputs pass LayerNorm and dropout first, as in SASRec and BERT4Rec.

        Args:
            embed_dim: D.
            block: of every block.
            num_encoder_blocks: K_e.
            num_decoder_blocks: K_d.
            init_std: see `initialize_blocks`.
        """
        super().__init__()
        self.token_norm = nn.LayerNorm(embed_dim, eps=block.layer_norm_eps)
        self.query_norm = nn.LayerNorm(embed_dim, eps=block.layer_norm_eps)
        self.dropout = Dropout(block.dropout_prob)
        self.encoder = _encoder_blocks(num_encoder_blocks, embed_dim, block)
        self.decoder = _decoder_blocks(num_decoder_blocks, embed_dim, block)
        initialize_blocks(self, std=init_std)

    def forward(self, items: ItemTokens, interests: InterestTokens) -> EncodedSequence:
        """The mean of the decoded interests xi, and the xi themselves."""
        tokens, token_mask = items.by_modality()
        token_rows, query_rows = Rows.of(token_mask), Rows.of(interests.valid_mask)
        context = self.dropout(self.token_norm(token_rows.take(tokens)), rows=token_rows)
        for block in self.encoder:
            context = block(context, rows=token_rows)
        queries = self.query_norm(query_rows.take(interests.embeddings))
        decoded = self.dropout(queries, rows=query_rows)
        for block in self.decoder:
            decoded = block(decoded, context, of=query_rows, to=token_rows)
        decoded = query_rows.spread(decoded)
        pooled = masked_mean(decoded, interests.valid_mask)
        return EncodedSequence(pooled, decoded, interests.valid_mask)


class ReleasedEncoderDecoder(nn.Module):
    """Encoder over the interests, decoder over the items; what it says at the last item.

    **Source**: the authors' public code, which its published results come from.
    **Differs** from the paper: the roles of items and interests are exchanged; the tokens of an
    item are summed into one; both stacks end with a LayerNorm; the regularisation reads the
    encoded interests.
    """

    reads_items = True

    def __init__(
        self,
        *,
        embed_dim: int,
        block: BlockSettings,
        num_encoder_blocks: int,
        num_decoder_blocks: int,
        init_std: float | None,
    ) -> None:
        """Arguments as of `EncoderDecoder`."""
        super().__init__()
        self.item_norm = nn.LayerNorm(embed_dim, eps=block.layer_norm_eps)
        self.dropout = Dropout(block.dropout_prob)
        self.encoder = _encoder_blocks(num_encoder_blocks, embed_dim, block)
        self.encoder_norm = nn.LayerNorm(embed_dim, eps=block.layer_norm_eps)
        self.decoder = _decoder_blocks(num_decoder_blocks, embed_dim, block)
        self.decoder_norm = nn.LayerNorm(embed_dim, eps=block.layer_norm_eps)
        initialize_blocks(self, std=init_std)

    def forward(self, items: ItemTokens, interests: InterestTokens) -> EncodedSequence:
        """The decoded last item, and the encoded interests."""
        # The regularisation of the released code reads the padding of the interests too.
        memory_rows = Rows.of(interests.valid_mask, with_padding=True)
        memory = memory_rows.take(interests.embeddings)
        for block in self.encoder:
            memory = block(memory, rows=memory_rows)
        memory = self.encoder_norm(memory)
        item_rows = Rows.of(items.valid_mask)
        decoded = item_rows.take(items.modalities.sum(dim=1) + items.shared)
        decoded = self.dropout(self.item_norm(decoded), rows=item_rows)
        for block in self.decoder[:-1]:
            decoded = block(decoded, memory, of=item_rows, to=memory_rows)
        interests = interests._replace(embeddings=memory_rows.spread(memory))
        last = cast("DecoderBlock", self.decoder[-1]).last(
            item_rows.spread(decoded),
            interests.embeddings,
            query_mask=items.valid_mask,
            context_mask=interests.valid_mask,
        )
        return EncodedSequence(self.decoder_norm(last), *interests)


class MeanEncoder(nn.Module):
    """Encoder over the item tokens, or over the interests, without the other; its mean.

    **Source**: MISSRec Table 5, rows 3 and 4 with two blocks.

    Attributes:
        reads_items: whether the item tokens, and so the positions, reach the output.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        block: BlockSettings,
        num_blocks: int,
        reads_interests: bool,
        init_std: float | None,
    ) -> None:
        """The input passes LayerNorm and dropout first.

        Args:
            embed_dim: D.
            block: of every block.
            num_blocks: number of encoder blocks.
            reads_interests: encode the interests rather than the item tokens.
            init_std: see `initialize_blocks`.
        """
        super().__init__()
        self.reads_items = not reads_interests
        self.token_norm = nn.LayerNorm(embed_dim, eps=block.layer_norm_eps)
        self.dropout = Dropout(block.dropout_prob)
        self.encoder = _encoder_blocks(num_blocks, embed_dim, block)
        initialize_blocks(self, std=init_std)

    def forward(self, items: ItemTokens, interests: InterestTokens) -> EncodedSequence:
        """The mean of the encoded tokens, and the encoded tokens."""
        tokens, valid_mask = items.by_modality() if self.reads_items else interests
        rows = Rows.of(valid_mask)
        encoded = self.dropout(self.token_norm(rows.take(tokens)), rows=rows)
        for block in self.encoder:
            encoded = block(encoded, rows=rows)
        encoded = rows.spread(encoded)
        return EncodedSequence(masked_mean(encoded, valid_mask), encoded, valid_mask)


def _encoder_blocks(num_blocks: int, embed_dim: int, block: BlockSettings) -> nn.ModuleList:
    return nn.ModuleList(EncoderBlock(embed_dim, block) for _ in range(num_blocks))


def _decoder_blocks(num_blocks: int, embed_dim: int, block: BlockSettings) -> nn.ModuleList:
    return nn.ModuleList(DecoderBlock(embed_dim, block) for _ in range(num_blocks))
