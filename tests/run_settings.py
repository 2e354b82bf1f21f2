"""Composed configs as the app reads them."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from missrec.app.prepare import prepare_missing
from missrec.app.session import plain
from missrec.app.settings import RunSettings, read_run

CONF = Path(__file__).resolve().parents[1] / "conf"


def as_run(cfg: DictConfig) -> RunSettings:
    """The settings of a composed run."""
    return read_run(plain(cfg))


def prepare_data(cfg: DictConfig) -> None:
    """Makes the data of a run where it is missing."""
    run = as_run(cfg)
    prepare_missing(run.paths, run.data)


def evaluation(run_dir: Path, data_dir: Path, *overrides: str) -> DictConfig:
    """The config of `evaluate.py` for a run whose data lies elsewhere."""
    places = [f"run={run_dir}", f"paths.data_dir={data_dir}", "output_dir=."]
    few = ["accelerator=cpu", "shown=[recall@10]", "bucket_edges=[1,5]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("evaluate", [*places, *few, *overrides])
