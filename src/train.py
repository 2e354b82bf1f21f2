"""Train a model: `python src/train.py experiment=scratch data=scientific_mm_subset`."""

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.arguments import resume_arguments
from missrec.app.composition import check_composition
from missrec.app.door import run_door
from missrec.app.session import RunSettings, plain, read_run
from missrec.app.sweep import run_job, sweep_arguments


def run(cfg: DictConfig) -> None:
    """Trains, chooses on validation, tests once; in a multirun what has not finished."""

    def settings() -> RunSettings:
        check_composition(cfg, HydraConfig.get())
        return read_run(plain(cfg))

    run_job(settings, run_dir=Path(cfg.run_dir))


def rewrite(arguments: list[str]) -> list[str]:
    """What Hydra shall see of the command line."""
    return sweep_arguments(resume_arguments(arguments))


if __name__ == "__main__":
    run_door("train", run, rewrite=rewrite)
