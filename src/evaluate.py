"""Evaluate a run: `python src/evaluate.py run=logs/scratch/<run>`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Ranks the test users again into `<run>/evaluation/`, or compares two systems."""
    # heavy: only once the config is composed
    from missrec.app.compare import compare
    from missrec.app.evaluate import evaluate, read_settings

    if cfg.against is None:
        evaluate(cfg)
    else:
        compare(read_settings(cfg))


if __name__ == "__main__":
    run_door("evaluate", run)
