"""What runs have learned, for the tests of transfer and of stages."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from missrec.runs.checkpoints import chosen_checkpoint


def state(run_dir: Path) -> dict[str, Tensor]:
    """The model that was tested."""
    content = torch.load(chosen_checkpoint(run_dir), weights_only=True)["state_dict"]
    return {name.removeprefix("model."): value for name, value in content.items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The tensors of both that differ."""
    return {name for name in before.keys() & after.keys() if not before[name].equal(after[name])}
