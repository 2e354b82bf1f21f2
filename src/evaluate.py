"""Evaluate a run: `python src/evaluate.py run=logs/scratch/<run>`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Ranks the test users again into `<run>/evaluation/`, or compares two systems."""
    if cfg.against is not None:
        from missrec.app.compare import compare  # heavy: only once the config is composed

        compare(cfg)
        return
    from missrec.app.evaluate import evaluate

    evaluate(cfg)


if __name__ == "__main__":
    run_door("evaluate", run)
