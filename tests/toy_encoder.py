"""An encoder without weights; spawned processes import it by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from missrec.features.encoders.encoder import NO_KNOWN_WORD, Encoder, Loaded
from missrec.features.extraction import Extractor
from missrec.features.inputs import OK


class ToyEncoder:
    """The features of a text are its length and that times `factor`; one with "?" has none.

    Attributes:
        loaded: all texts that were loaded in this process.
    """

    modalities = ("text", "image")

    def __init__(self, *, factor: float = 10, fail_at: str | None = None) -> None:
        self.factor = factor
        self.fail_at = fail_at
        self.loaded: list[str] = []

    def description(self, modality: str) -> dict[str, Any]:
        return {"encoder": "toy", "factor": self.factor}

    def load(self, modality: str, inputs: Sequence[str]) -> Loaded:
        if self.fail_at in inputs:
            raise ValueError(f"cannot go on at {self.fail_at}")
        self.loaded += inputs
        outcomes = [NO_KNOWN_WORD if "?" in text else OK for text in inputs]
        return Loaded(torch.tensor([float(len(text)) for text in inputs]), outcomes)

    def encode(self, modality: str, values: Tensor) -> Tensor:
        return torch.stack([values, values * self.factor], dim=1)


def extractor(encoder: Encoder, *, devices: int = 1, **changes: Any) -> Extractor:
    """An extractor with batches of two."""

    def make_trainer(callbacks: list[Callback]) -> Trainer:
        return Trainer(
            accelerator="cpu",
            devices=devices,
            strategy="auto" if devices == 1 else "ddp_spawn",
            callbacks=callbacks,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    settings: dict[str, Any] = {
        "precision": "32-true",
        "dtype": "float32",
        "batch_size": 2,
        "num_workers": 0,
        "show_progress": False,
    }
    return Extractor(encoder=encoder, make_trainer=make_trainer, **settings | changes)


def write_items(folder: Path, texts: Sequence[str]) -> pl.DataFrame:
    """Writes an items.parquet that holds these texts, and returns it."""
    folder.mkdir(exist_ok=True)
    keys = [f"k{item}" for item in range(1, len(texts) + 1)]
    items = pl.DataFrame({"item_key": keys, "text": texts}).with_row_index("item_id", offset=1)
    items.write_parquet(folder / "items.parquet")
    return items
