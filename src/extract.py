"""Make the features of domain folders: `python src/extract.py data=scientific`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Fetches and encodes what is missing in the domains of `cfg.data`."""
    from missrec.app.extract import extract  # heavy: only once the config is composed

    extract(cfg)


if __name__ == "__main__":
    run_door("extract", run)
