"""Train a model: `python src/train.py experiment=scratch data=scientific_mm_subset`."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.composition import check_composition
from missrec.app.door import run_door
from missrec.app.resume import resume_arguments
from missrec.app.sweep import run_job, sweep_arguments


def train(cfg: DictConfig) -> dict[str, float]:
    """Trains, chooses on validation, tests once."""
    check_composition(cfg, HydraConfig.get())
    from missrec.app.train import train as checked  # heavy: only once the choices go together

    return checked(cfg)


def run(cfg: DictConfig) -> None:
    """Trains; in a multirun what has not finished, where no other process writes."""

    def writing(run_dir: Path) -> AbstractContextManager[None]:
        from missrec.app.train import writing as alone

        return alone(run_dir)

    run_job(cfg, train, writing=writing)


if __name__ == "__main__":
    run_door("train", run, rewrite=lambda words: sweep_arguments(resume_arguments(words)))
