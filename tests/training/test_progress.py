"""What stands beside the bar of a training."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks.progress.rich_progress import MetricsTextColumn
from rich.console import Console
from rich.progress import Progress

from missrec.training.progress import ProgressBar


def test_a_line_of_a_long_training_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = ProgressBar()
    trainer = Trainer(
        max_epochs=200,
        callbacks=[bar],
        logger=False,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    monkeypatch.setattr(
        "pytorch_lightning.callbacks.progress.progress_bar.get_standard_metrics",
        lambda _: {"v_num": 0},
    )
    logged = {"loss": 6.123, "seq/s": 12345.678, "ndcg@10": 0.081}
    monkeypatch.setattr(type(trainer), "progress_bar_metrics", logged)
    shown = bar.get_metrics(trainer, cast("Any", None))
    assert shown == {"loss": 6.123, "ndcg@10": 0.081}
    metrics = MetricsTextColumn(trainer, "white", " ", ".3f")
    metrics.update(shown)
    console = Console(width=200, force_terminal=True, color_system=None)
    progress = Progress(*bar.configure_columns(trainer), console=console)
    progress.add_task("Epoch 199/199", total=100, completed=99)
    with console.capture() as printed:
        console.print(progress)
    line = printed.get().rstrip()
    assert line.startswith("Epoch 199/199 ")
    assert len(f"{line} {' '.join(metrics._generate_metrics_texts())}") <= 80
