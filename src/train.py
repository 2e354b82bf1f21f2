"""Train a model: `python src/train.py experiment=scratch data=scientific_mm_subset`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.arguments import resume_arguments
from missrec.app.door import run_door
from missrec.app.sweep import sweep_arguments


def run(cfg: DictConfig) -> None:
    """Trains, chooses on validation, tests once."""
    from missrec.app.train import train_job  # heavy: only once the config is composed

    train_job(cfg)


def rewrite(arguments: list[str]) -> list[str]:
    """What Hydra shall see of the command line."""
    return sweep_arguments(resume_arguments(arguments))


if __name__ == "__main__":
    run_door("train", run, rewrite=rewrite)
