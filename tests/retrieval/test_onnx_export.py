"""Models as ONNX graphs: the numbers of the model for any number of users and any length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from missrec.retrieval.onnx_export import SCORER, TOLERANCE, USER_ENCODER, export_onnx
from missrec.types import FreezesItems, SequenceBatch
from models import test_contracts as contracts
from models.conftest import project_root  # noqa: F401  # where item codes are kept

L, N = 50, contracts.NUM_ITEMS


def histories(num_users: int, longest: int) -> Tensor:
    """Random items; one history is as long as that, the others are padded."""
    generator = torch.Generator().manual_seed(100 * num_users + longest)
    item_ids = torch.randint(1, N + 1, (num_users, longest), generator=generator)
    lengths = torch.randint(1, longest + 1, (num_users,), generator=generator)
    lengths[0] = longest
    return item_ids * (torch.arange(longest) < lengths[:, None])


def encode_and_score(model: Any, item_ids: Tensor) -> tuple[Tensor, Tensor]:
    nothing = torch.zeros(len(item_ids), dtype=torch.int64)
    with torch.no_grad():
        encoded = model.encode(SequenceBatch(nothing, item_ids, nothing))
        return encoded, model.score(encoded, model.candidates(contracts.ALL_ITEMS))


@pytest.mark.parametrize("name", contracts.MODELS)
def test_frozen_items_change_no_score_and_no_state(name: str) -> None:
    model = contracts.build_model(name, transfer="transductive")
    item_ids, state = histories(5, 9), list(model.state_dict())
    before = encode_and_score(model, item_ids)
    for module in model.modules():
        if isinstance(module, FreezesItems):
            module.freeze_items()
    for found, expected in zip(encode_and_score(model, item_ids), before, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert list(model.state_dict()) == state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "transfer"),
    [
        ("missrec", "transductive"),
        ("missrec_released", "inductive"),
        ("bert4rec", "transductive"),
        ("most_popular", "inductive"),
    ],
)
def test_graphs_give_the_numbers_of_the_model(tmp_path: Path, name: str, transfer: str) -> None:
    model = contracts.build_model(name, transfer=transfer)
    lengths = {1: range(1, L + 1), 3: (1, 2, 7, L), 64: (1, 2, 7, L)}
    batches = [histories(users, longest) for users in lengths for longest in lengths[users]]
    expected = [encode_and_score(model, item_ids) for item_ids in batches]
    export_onnx(model, tmp_path, max_seq_len=L, num_items=N)
    encoder, scorer = (onnxruntime.InferenceSession(tmp_path / f) for f in (USER_ENCODER, SCORER))
    for item_ids, (users, scores) in zip(batches, expected, strict=True):
        (found,) = encoder.run(None, {"item_ids": item_ids.numpy()})
        assert close(found, users)
        assert close(scorer.run(None, {"user": found})[0], scores)


def close(found: np.ndarray, expected: Tensor) -> bool:
    if found.shape != expected.shape or not expected.numel():
        return found.shape == expected.shape  # a model that knows nothing of a history
    scale = max(1.0, float(expected.abs().max()))
    return bool(np.abs(found - expected.numpy()).max() <= TOLERANCE * scale)


class OfItsLength(nn.Module):
    """Cannot be a graph for any length: it asks for a value."""

    def encode(self, batch: SequenceBatch) -> Tensor:
        if batch.item_ids.max() > 3:
            return batch.item_ids[:, :1].float()
        return batch.item_ids.sum(dim=1, keepdim=True).float()

    def candidates(self, item_ids: Tensor) -> Tensor:
        return item_ids

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        return encoded.sum(dim=1, keepdim=True) + candidates


@pytest.mark.slow
def test_a_model_that_cannot_be_a_graph_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="OfItsLength cannot be an ONNX graph: ") as refused:
        export_onnx(OfItsLength(), tmp_path, max_seq_len=L, num_items=N)
    assert "\n" not in str(refused.value)
