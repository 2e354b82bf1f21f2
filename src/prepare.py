"""Make domain folders from a source: `python src/prepare.py data=scientific_mm_subset`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Reads or generates the domains of `cfg.data` and writes their folders."""
    from missrec.app.prepare import prepare  # heavy: only once the config is composed

    prepare(cfg)


if __name__ == "__main__":
    run_door("prepare", run)
