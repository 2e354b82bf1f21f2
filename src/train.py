"""Train a model: `python src/train.py experiment=scratch data=scientific_mm_subset`."""

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door
from missrec.app.resume import continued, resume_arguments
from missrec.app.sweep import Job, run_job, sweep_arguments


def run(cfg: DictConfig) -> None:
    """Trains, chooses on validation, tests once."""
    from missrec.app.train import train, writing  # heavy: only once the config is composed

    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    job = Job(settings, train=lambda: train(cfg), go_on=lambda: train(continued(cfg)))
    run_job(job, writing=writing)


def rewrite(arguments: list[str]) -> list[str]:
    """What Hydra shall see of the command line."""
    return sweep_arguments(resume_arguments(arguments))


if __name__ == "__main__":
    run_door("train", run, rewrite=rewrite)
