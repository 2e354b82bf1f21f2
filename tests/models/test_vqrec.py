from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from models.reference import (
    assert_scores_agree,
    batch_of,
    build_with,
    encoder_state,
    needs_fixtures,
    reference,
    weights,
)

CODES = ["model.items.coding.quantizer.num_codebooks=4", "model.items.coding.quantizer.num_codewords=8"]


def from_reference(*overrides: str) -> Any:
    """Their codes number the rows of one table, the first of each codebook being padding."""
    theirs, codes = weights("vqrec"), reference("vqrec")["codes"]
    codewords = codes - torch.arange(4) * 9 - 1
    codewords[0] = 0
    table = theirs["pq_code_embedding.weight"].view(4, 9, 24)
    state = {
        **encoder_state(theirs),
        "items.weight": table[:, 1:],
        "items.codewords": codewords.to(torch.uint8),
        "items.present": torch.arange(41) > 0,
    }
    return build_with(state, "model=vqrec", *CODES, *overrides, text_features=torch.randn(41, 16))


@needs_fixtures
def test_scores_are_the_references() -> None:
    assert_scores_agree(from_reference(), "vqrec")


@needs_fixtures
def test_loss_is_the_references_but_for_its_padding_candidate() -> None:
    values = reference("vqrec")
    logits, targets = values["logits"] / 0.07, values["target_ids"]
    torch.testing.assert_close(F.cross_entropy(logits, targets), values["loss"][0])
    expected = F.cross_entropy(logits[:, 1:], targets - 1)
    loss = from_reference().training_loss(batch_of("vqrec")).total
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-5, atol=1e-5)
