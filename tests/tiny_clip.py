"""A small open_clip model with random weights, in a folder as `local-dir:` reads it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import open_clip
import torch

WIDTH, CONTEXT = 16, 12
CONFIG: dict[str, Any] = {
    "embed_dim": WIDTH,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 16,
        "head_width": 8,
        "patch_size": 16,
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 1,
    },
}
WEIGHTS = "open_clip_pytorch_model.bin"


def write_tiny_clip(folder: Path, *, seed: int = 0) -> Path:
    """Writes configuration and weights; the same seed gives the same weights."""
    folder.mkdir(parents=True)
    description = {"model_cfg": CONFIG, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(description))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.CLIP(**copy.deepcopy(CONFIG))
    torch.save(model.state_dict(), folder / WEIGHTS)
    return folder
