"""Make the project's dashboard in W&B: `python src/dashboard.py`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Saves a view for pre-training, transfer and ablations each, and prints their addresses."""
    from missrec.app.dashboard import save_dashboard  # heavy: only once the config is composed

    for name, address in save_dashboard(cfg).items():
        print(f"{name}: {address}")  # noqa: T201


if __name__ == "__main__":
    run_door("dashboard", run)
