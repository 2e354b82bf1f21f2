"""Serve a run over HTTP: `python src/serve.py run=logs/scratch/<run>`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Answers until it is told to stop."""
    # heavy: only once the config is composed
    from missrec.app.serve import read_settings, serve

    serve(read_settings(cfg))


if __name__ == "__main__":
    run_door("serve", run)
