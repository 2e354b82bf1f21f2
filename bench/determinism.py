"""Which settings leave a run as it was, bit for bit, and how much the others change.

python bench/determinism.py      # trainings of a small demo; writes a table of docs/reliability.md
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
os.environ["PROJECT_ROOT"] = str(ROOT)

import polars as pl
import torch
from between import markdown_table, write_between
from hydra import compose, initialize_config_dir
from measured import print_table, write_report
from torch import Tensor

from missrec.app.train import train_run
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.runs.ranks import recorded_ranks
from missrec.training.checkpoints import model_state
from run_settings import as_run, prepare_data

EPOCHS, NUM_USERS = 3, 1000
SMALL = (
    "experiment=demo",
    f"data.sources.demo_office.num_users={NUM_USERS}",
    "data.sources.demo_office.num_items=200",
    "model.embed_dim=16",
    "trainer.accelerator=cpu",
    "~callbacks.progress_bar",
    "trainer.enable_progress_bar=false",
    "names.experiment=bench",
    "names.model=bench",
)
WITHOUT_DROPOUT = (
    "model.network.block.dropout_prob=0",
    "model.network.block.activation_dropout_prob=0",
)


class Ending(NamedTuple):
    """What a run ended with.

    Attributes:
        metrics: the bytes of `metrics.json`.
        weights: of the tested model.
        ranks: (U,) of the test users' targets.
    """

    metrics: bytes
    weights: dict[str, Tensor]
    ranks: Tensor


class Change(NamedTuple):
    """A setting and what it is compared with.

    Attributes:
        title: of the row.
        overrides: of the config.
        like: overrides of the run that it is compared with.
        threads: of torch.
        stop_after: epochs after which the run ends and is resumed.
    """

    title: str
    overrides: Sequence[str] = ()
    like: Sequence[str] = ()
    threads: int = 1
    stop_after: int | None = None


CHANGES = [
    Change("the same command again"),
    Change("`seed=2`", ["seed=2"]),
    Change("two threads of torch for one", threads=2),
    Change("`datamodule.num_workers=2`", ["datamodule.num_workers=2"]),
    Change(
        "`metrics.users_per_tile=7 metrics.items_per_tile=11`",
        ["metrics.users_per_tile=7", "metrics.items_per_tile=11"],
    ),
    Change("`datamodule.eval_batch_size=37`", ["datamodule.eval_batch_size=37"]),
    Change("`datamodule.trim_padding=false`", ["datamodule.trim_padding=false"]),
    Change(
        "the same without dropout",
        ["datamodule.trim_padding=false", *WITHOUT_DROPOUT],
        like=WITHOUT_DROPOUT,
    ),
    Change("two processes (`trainer=ddp_cpu`)", ["trainer=ddp_cpu"]),
    Change("the same without dropout", ["trainer=ddp_cpu", *WITHOUT_DROPOUT], like=WITHOUT_DROPOUT),
    Change("stopped after an epoch, then `resume=`", stop_after=1),
]


def main() -> None:
    """Trains each, compares, prints and writes the table."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        references: dict[Sequence[str], Ending] = {}
        rows = []
        for number, change in enumerate(CHANGES):
            like = tuple(change.like)
            if like not in references:
                references[like] = trained(place, f"reference_{len(references)}", Change("", like))
            found = trained(place, f"change_{number}", change)
            rows.append([change.title, *compared(found, references[like])])
    columns = ["changed", "`metrics.json`", "weights", "ranks of test users"]
    print_table("determinism", columns, rows)
    write_between(ROOT / "docs" / "reliability.md", "determinism", markdown_table(columns, rows))
    write_report("determinism", {row[0]: row[1:] for row in rows}, show=False)


def trained(place: Path, name: str, change: Change) -> Ending:
    """A run of a change in a folder of its own."""
    run_dir = place / name
    epochs = change.stop_after or EPOCHS
    settings = [*SMALL, *change.overrides, f"paths.data_dir={place / 'data'}"]
    if "trainer=ddp_cpu" in change.overrides:  # its other process reads the command line
        command = [sys.executable, str(ROOT / "src/train.py"), *settings]
        command += [f"trainer.max_epochs={epochs}", f"hydra.run.dir={run_dir}"]
        threads = {"OMP_NUM_THREADS": str(change.threads)}
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **threads})
        return ending(run_dir)
    torch.set_num_threads(change.threads)
    _train(settings, run_dir, epochs)
    if change.stop_after is not None:
        _train([*settings, f"resume={run_dir}"], run_dir, EPOCHS)
    torch.set_num_threads(1)
    return ending(run_dir)


def _train(settings: Sequence[str], run_dir: Path, epochs: int) -> None:
    run_dir.mkdir(exist_ok=True)
    overrides = [*settings, f"run_dir={run_dir}", f"trainer.max_epochs={epochs}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides)
    prepare_data(cfg)
    with contextlib.redirect_stdout(io.StringIO()):
        train_run(as_run(cfg))


def ending(run_dir: Path) -> Ending:
    """What a run folder holds."""
    (ranks,) = recorded_ranks(run_dir).values()
    table = pl.read_parquet(ranks).sort("user_id")
    return Ending(
        RunFolder(run_dir).metrics.read_bytes(),
        model_state(chosen_checkpoint(run_dir)),
        torch.tensor(table["rank"].to_list()),
    )


def compared(found: Ending, expected: Ending) -> list[str]:
    """The columns of a row."""
    largest = max(
        float((found.weights[name].double() - value.double()).abs().max())
        for name, value in expected.weights.items()
        if value.is_floating_point() and found.weights[name].shape == value.shape
    )
    others = int((found.ranks != expected.ranks).sum())
    return [
        "the same bytes" if found.metrics == expected.metrics else "other",
        "bit-equal" if largest == 0 else f"differ by up to {largest:.1g}",
        "the same" if not others else f"{others:,} of {len(expected.ranks):,} differ",
    ]


if __name__ == "__main__":
    main()
