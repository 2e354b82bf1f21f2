"""The train config of given overrides, composed inside another command or without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from missrec.app.composition import check_composition


def compose_train(
    root_dir: Path, overrides: Sequence[str], *, with_hydra: bool = False
) -> DictConfig:
    """The train config with these overrides.

    Args:
        root_dir: of the project.
        overrides: as on a command line.
        with_hydra: keep Hydra's own part.

    Raises:
        HydraException: it cannot be composed, or a name would not hold.
    """
    if not GlobalHydra.instance().is_initialized():
        with initialize_config_dir(str(root_dir / "conf"), version_base="1.3"):
            return compose_train(root_dir, overrides, with_hydra=with_hydra)
    cfg = compose("train", list(overrides), return_hydra_config=True)
    hydra = cfg.hydra
    if not with_hydra:
        with open_dict(cfg):
            del cfg["hydra"]
    check_composition(cfg, hydra)
    return cfg


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


def without_removed(config: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """A plain config without what `~key` among the arguments of a command line removes."""
    rest: dict[str, Any] = deepcopy(dict(config))
    for removed in (argument[1:] for argument in arguments if argument.startswith("~")):
        *sections, name = removed.partition("=")[0].split(".")
        place: Any = rest
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(name, None)
    return rest


def quoted(value: str | Path) -> str:
    """A value as Hydra's grammar takes it, whatever characters it has."""
    escaped = str(value).replace("'", "\\'")
    return f"'{escaped}'"
