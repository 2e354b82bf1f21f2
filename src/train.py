"""Train a model: `python src/train.py experiment=scratch data=scientific_mm_subset`."""

import os
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.arguments import resume_arguments
from missrec.app.door import run_door
from missrec.app.grammar import parsable_arguments
from missrec.app.session import read_train
from missrec.app.sweep import run_job, sweep_arguments


def run(cfg: DictConfig) -> None:
    """Trains, chooses on validation, tests once; in a multirun what has not finished."""
    # hydra/launcher=gpus sets it; a default in train.yaml would override that.
    claims_gpu = bool(cfg.get("claim_gpu", False))
    run_job(partial(read_train, cfg), run_dir=Path(cfg.run_dir), claims_gpu=claims_gpu)


def rewrite(arguments: list[str]) -> list[str]:
    """What Hydra shall see of the command line."""
    return sweep_arguments(parsable_arguments(resume_arguments(arguments)))


if __name__ == "__main__":
    run_door("train", run, rewrite=rewrite)
