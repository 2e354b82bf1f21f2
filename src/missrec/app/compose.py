"""The train config of given overrides, composed inside another command or without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf


def compose_train(
    root_dir: Path, overrides: Sequence[str], *, with_hydra: bool = False
) -> DictConfig:
    """The train config with these overrides.

    Args:
        root_dir: of the project.
        overrides: as on a command line.
        with_hydra: keep Hydra's own part.
    """
    if GlobalHydra.instance().is_initialized():
        return compose("train", list(overrides), return_hydra_config=with_hydra)
    with initialize_config_dir(str(root_dir / "conf"), version_base="1.3"):
        return compose("train", list(overrides), return_hydra_config=with_hydra)


@contextmanager
def composed(root_dir: Path, overrides: Sequence[str]) -> Iterator[DictConfig]:
    """The config that `train.py` would run these overrides with; `${hydra:...}` knows of them."""
    outer = HydraConfig.instance().cfg
    cfg = compose_train(root_dir, overrides, with_hydra=True)
    HydraConfig.instance().set_config(cfg)
    try:
        job = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        OmegaConf.set_struct(job, True)
        yield job
    finally:
        HydraConfig.instance().cfg = outer


def quoted(value: str | Path) -> str:
    """A value as Hydra's grammar takes it, whatever characters it has."""
    escaped = str(value).replace("'", "\\'")
    return f"'{escaped}'"
