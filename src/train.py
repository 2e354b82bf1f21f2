"""Door."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door  # noqa: E402


def train(cfg: DictConfig) -> None:
    from missrec.app.train import train as run  # noqa: PLC0415  # heavy: only after the config is composed

    run(cfg)


if __name__ == "__main__":
    run_door("train", train)
