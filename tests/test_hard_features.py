"""Features at the edge of what is valid: all the same, narrow and large, one modality of zeros.

What is no number is refused where features are read: tests/features/test_store.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from missrec.app.model import build
from missrec.types import DiscoversInterests
from run_settings import CONF
from synthetic import catalogue, random_sequences, raw_features, sequence_batch

os.environ.setdefault("PROJECT_ROOT", str(CONF.parent))
NUM_ITEMS, WIDTH = 24, 6
ALL_ITEMS = torch.arange(1, NUM_ITEMS + 1)
Features = Callable[[], np.ndarray]


def random() -> np.ndarray:
    return raw_features(num_items=NUM_ITEMS, width=WIDTH, seed=1)


KINDS: dict[str, Features] = {
    "constant": lambda: np.ones((NUM_ITEMS, WIDTH), dtype=np.float32),
    "float16": lambda: random().astype(np.float16),
    "the largest of float16": lambda: np.full((NUM_ITEMS, WIDTH), 65504, dtype=np.float16),
    "tiny": lambda: random() * np.float32(1e-30),
    "a constant column of a million": lambda: np.pad(
        random(), ((0, 0), (0, 1)), constant_values=1e6
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["missrec_small", "missrec_released", "unisrec", "vqrec"])
def test_a_model_learns_from_them_and_scores_finitely(
    model: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path))  # codes are kept there
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[f"model={model}", "transfer=inductive"])
    if "embed_dim" in cfg.model and model != "vqrec":
        cfg.model.embed_dim = 16
    histories = random_sequences(num_users=8, num_items=NUM_ITEMS, shortest=3, longest=9, seed=1)
    features = {name: KINDS[kind]() for name in cfg.inputs.modalities}
    items = catalogue(histories, features=features, num_items=NUM_ITEMS)
    module = build(cfg, "model", catalogue=items)
    if isinstance(module, DiscoversInterests):
        report = module.refresh_interests()
        assert report.num_live >= 1
    batch = sequence_batch(histories, [4, 11, 4, 17, 1, 24, 6, 13])
    module.training_loss(batch).total.backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    module.eval()
    with torch.no_grad():
        scores = module.score(module.encode(batch), module.candidates(ALL_ITEMS))
    assert scores.isfinite().all()
    if kind == "constant":  # no item is better than another
        torch.testing.assert_close(scores, scores[:, :1].expand_as(scores))
