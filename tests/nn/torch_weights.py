"""Weights of our blocks under the names of torch's own Transformer layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from missrec.nn.attention import MultiHeadAttention
from missrec.nn.transformer import DecoderBlock, EncoderBlock, FeedForward


def named(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in state.items()}


def torch_encoder_state(block: EncoderBlock) -> dict[str, Tensor]:
    """For `nn.TransformerEncoderLayer`."""
    return (
        _attention_state("self_attn", block.attention)
        | named("norm1", block.attention_norm.state_dict())
        | _feedforward_state(block.feedforward)
        | named("norm2", block.feedforward_norm.state_dict())
    )


def torch_decoder_state(block: DecoderBlock) -> dict[str, Tensor]:
    """For `nn.TransformerDecoderLayer`."""
    return (
        _attention_state("self_attn", block.self_attention)
        | named("norm1", block.self_norm.state_dict())
        | _attention_state("multihead_attn", block.cross_attention)
        | named("norm2", block.cross_norm.state_dict())
        | _feedforward_state(block.feedforward)
        | named("norm3", block.feedforward_norm.state_dict())
    )


def _attention_state(prefix: str, source: MultiHeadAttention) -> dict[str, Tensor]:
    projections = [source.query, source.key, source.value]
    return named(
        prefix,
        {
            "in_proj_weight": torch.cat([projection.weight for projection in projections]),
            "in_proj_bias": torch.cat([projection.bias for projection in projections]),
            "out_proj.weight": source.output.weight,
            "out_proj.bias": source.output.bias,
        },
    )


def _feedforward_state(source: FeedForward) -> dict[str, Tensor]:
    first, last = source[0], source[-1]
    return named("linear1", first.state_dict()) | named("linear2", last.state_dict())
