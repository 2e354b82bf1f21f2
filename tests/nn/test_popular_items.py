"""The gradients of an item that comes more than 256 times all count, in bfloat16 too.

In bfloat16 256 + 1 is 256, and torch adds the gradients of an embedding and of index_add one by one
in the type of its rows (2.11; scatter_add does not stop).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from missrec.features.codes import ItemCoding
from missrec.features.quantization import OptimizedProductQuantizer
from missrec.nn.adapters import LinearAdapter
from missrec.nn.code_embedding import CodeEmbedding
from missrec.nn.item_embeddings import FeatureEmbedding, IdEmbedding
from synthetic import catalogue, text_and_image

POPULAR, TIMES = 3, 1000
HISTORIES = torch.full((TIMES, 1), POPULAR)


def of_features() -> tuple[nn.Module, nn.Parameter, float]:
    given = catalogue(features=text_and_image(num_items=6), num_items=6)
    module = FeatureEmbedding(catalogue=given, embed_dim=4, adapter=LinearAdapter)
    (bias,) = [p for name, p in module.named_parameters() if name.startswith("adapter.text")][1:2]
    return module, bias, TIMES / 2  # the mean of two modalities


def of_ids() -> tuple[nn.Module, nn.Parameter, float]:
    module = IdEmbedding(catalogue=catalogue(num_items=6, features={}), embed_dim=4, init_std=1.0)
    return module, module.weight, TIMES


def of_codes() -> tuple[nn.Module, nn.Parameter, float]:
    quantizer = OptimizedProductQuantizer(
        num_codebooks=2, num_codewords=2, items_per_codeword=1, num_rotations=1, seed=0
    )
    features = {"text": text_and_image(num_items=6)["text"]}
    module = CodeEmbedding(
        catalogue=catalogue([[1, 2, 3, 4, 5, 6, 1, 1]], features=features),
        embed_dim=4,
        coding=ItemCoding(quantizer=quantizer, cache_dir=None),
        permutation=None,
        init_std=1.0,
    )
    return module, module.weight, TIMES / 2  # the mean of two codewords


@pytest.mark.parametrize("make", [of_features, of_ids, of_codes])
def test_each_history_of_a_popular_item_counts(
    make: Callable[[], tuple[nn.Module, nn.Parameter, float]],
) -> None:
    module, parameter, expected = make()
    with torch.autocast("cpu", torch.bfloat16):
        module(HISTORIES).sum().backward()
    assert parameter.grad is not None
    assert parameter.grad.abs().max().item() == expected
