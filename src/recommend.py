"""Recommend items: `python src/recommend.py run=logs/scratch/<run> k=50 out=recs.parquet`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.arguments import named_lists
from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Writes the items for all users, some, or histories from a file."""
    # heavy: only once the config is composed
    from missrec.app.recommend import recommend
    from missrec.app.recommend_settings import read_settings

    recommend(read_settings(cfg))


if __name__ == "__main__":
    run_door("recommend", run, rewrite=named_lists)
