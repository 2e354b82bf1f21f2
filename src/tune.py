"""Search hyper-parameters: `python src/tune.py search=learning_rate model=sasrec`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Searches on validation alone; goes on with a search that stopped."""
    from hydra.core.hydra_config import HydraConfig

    from missrec.app.tune import tune  # heavy: only once the config is composed

    tune(cfg, overrides=list(HydraConfig.get().overrides.task))


if __name__ == "__main__":
    run_door("tune", run)
