"""The session of a command: configs composed and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from missrec.app.command_line.domain_folders import absolute_folders
from missrec.app.command_line.project import conf_dir
from missrec.app.composition import check_composition
from missrec.app.final_fit import as_trained
from missrec.app.settings import Config, RunSettings, read_run
from missrec.runs.folder import RunFolder


def plain(cfg: DictConfig) -> Config:
    """A composed config as plain values, resolved; its domain folders and split files absolute.

    Raises:
        ValueError: see `absolute_folders`.
    """
    cfg = deepcopy(cfg)  # a run is gone on with from another place too
    folders = OmegaConf.select(cfg, "data.folders")
    if OmegaConf.is_list(folders):
        cfg.data.folders = absolute_folders(OmegaConf.to_container(folders, resolve=True))
    for part in ("train", "val", "test"):
        if isinstance(file := OmegaConf.select(cfg, f"split.{part}"), str):
            cfg.split[part] = str(Path(file).expanduser().absolute())
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def occupied(folder: RunFolder) -> str:
    """What to say of a folder that a new run finds with a run in it."""
    return (
        f"{folder.path} holds a run; resume={folder.path} goes on with it, overwrite=true replaces "
        "it"
    )


def continued(run: RunSettings) -> RunSettings:
    """The run that its folder holds goes on, if it holds one and this one does not replace it."""
    goes_on = RunFolder(run.run_dir).holds_run and not run.overwrite
    return run._replace(resume=run.resume or goes_on)


def read_train(cfg: DictConfig) -> RunSettings:
    """The settings of `train.py`, whose choices are found to go together.

    Raises:
        ConfigCompositionException: a name would not hold.
    """
    check_names(cfg, HydraConfig.get())
    return read_run(as_trained(plain(cfg)))


def check_names(cfg: DictConfig, hydra: Any) -> None:
    """Refuses a train config in which a name would not hold; see `check_composition`.

    The saved config of a run has made no choices, and is as it was.
    """
    chosen: dict[str, str | None] = dict(hydra.runtime.choices)
    if chosen.get("model"):
        settings: Any = OmegaConf.to_container(cfg, resolve=False)
        check_composition(
            settings, conf_dir(Path(cfg.paths.root_dir)), chosen, hydra.overrides.task
        )


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
        with initialize_config_dir(str(conf_dir(root_dir)), version_base="1.3"):
            return compose_train(root_dir, overrides, with_hydra=with_hydra)
    cfg = compose("train", list(overrides), return_hydra_config=True)
    hydra = cfg.hydra
    if not with_hydra:
        with open_dict(cfg):
            del cfg["hydra"]
    check_names(cfg, hydra)
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
