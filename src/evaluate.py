"""Evaluate a run: `python src/evaluate.py run=logs/scratch/<run>`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Ranks the test users again and writes `<run>/evaluation/`."""
    from missrec.app.evaluate import evaluate  # heavy: only once the config is composed

    evaluate(cfg)


if __name__ == "__main__":
    run_door("evaluate", run)
