"""Turns `resume=<run folder>` into the command that made the run, and finds where it stopped."""

from __future__ import annotations

import logging
from pathlib import Path
from pickle import UnpicklingError

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from missrec.app.compose import quoted, without_removed
from missrec.runs.folder import read_config
from missrec.runs.trust import refuse_strangers

CHECKPOINTS = "checkpoints"
_RESUMABLE = ("last.ckpt", "latest.ckpt")
_PREFIX = "resume="
_TRUST = "trust="
_OTHER_PROCESS = "other_process_of="
_SAVED = "saved_config"

_log = logging.getLogger(__name__)


def resume_arguments(arguments: list[str]) -> list[str]:
    """Command-line arguments that compose the config a run was saved with.

    `[resume=logs/scratch/a, trainer.max_epochs=5]` becomes arguments that take
    `logs/scratch/a/config.yaml` instead of `conf/train.yaml`, write into the same folder, and
    apply the rest. What they leave of the saved config must be nobody's code but this project's,
    unless `trust=true` is among them. Arguments without `resume=` come back as they are.

    Args:
        arguments: without the program's name.

    Raises:
        FileNotFoundError: the folder holds no saved config.
        UntrustedError: it names code of a stranger, and is not trusted.
    """
    if arguments and arguments[0].startswith(_OTHER_PROCESS):
        return saved_config_arguments(Path(arguments[0].removeprefix(_OTHER_PROCESS)))
    named = [argument for argument in arguments if argument.startswith(_PREFIX)]
    if not named or named[-1] == f"{_PREFIX}null":
        return arguments
    run_dir = Path(named[-1].removeprefix(_PREFIX)).resolve()
    config = run_dir / "config.yaml"
    if not config.is_file():
        raise FileNotFoundError(
            f"{config} is missing, so there is nothing to resume; resume= must name a run "
            "folder, such as resume=logs/scratch/<run>"
        )
    rest = [one for one in arguments if not one.startswith((_PREFIX, _TRUST))]
    if f"{_TRUST}true" not in arguments:
        refuse_strangers(without_removed(read_config(run_dir), rest), where=str(config))
    folder = quoted(run_dir)
    return [*saved_config_arguments(run_dir), f"run_dir={folder}", f"resume={folder}", *rest]


def saved_config_arguments(run_dir: Path) -> list[str]:
    """Command-line arguments that compose the saved config of a run, in its own folder.

    Args:
        run_dir: absolute.
    """
    ConfigStore.instance().store(_SAVED, OmegaConf.create(read_config(run_dir)))
    return [
        f"--config-name={_SAVED}",
        f"hydra.run.dir={quoted(run_dir)}",
        "hydra.output_subdir=null",
        "hydra.job.name=train",
    ]


def other_process_arguments(run_dir: Path) -> list[str]:
    """Command-line arguments that start another process of a run whose config is saved."""
    return [f"{_OTHER_PROCESS}{run_dir.resolve()}"]


def continued(cfg: DictConfig) -> DictConfig:
    """The config of a run that goes on in its folder if that holds checkpoints, else as it is."""
    if not (Path(cfg.run_dir) / CHECKPOINTS).is_dir():
        return cfg
    merged = OmegaConf.merge(cfg, {"resume": str(cfg.run_dir)})
    assert isinstance(merged, DictConfig)
    return merged


def furthest_checkpoint(run_dir: Path) -> Path | None:
    """The checkpoint of the run with the most steps; None if it was stopped before its first.

    Steps are read from the files, because a copied folder has new file times. A file that cannot
    be read, as a machine that went down while writing leaves it, is passed over.

    Raises:
        ValueError: no checkpoint of the run can be read.
    """
    found = [path for name in _RESUMABLE if (path := run_dir / CHECKPOINTS / name).is_file()]
    if not found:
        _log.warning("%s holds no checkpoint yet: the run starts over", run_dir)
        return None
    steps = {path: count for path in found if (count := _num_steps(path)) is not None}
    if not steps:
        raise ValueError(
            f"{' and '.join(map(str, found))} cannot be read; to start the run over, delete them"
        )
    return max(steps, key=lambda path: steps[path])


def _num_steps(checkpoint: Path) -> int | None:
    """Optimiser steps of a checkpoint; None if it is damaged."""
    import torch  # heavy, and the command line is rewritten without it

    try:
        # mmap leaves the tensors on the disk.
        content = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
        return int(content["global_step"])
    except (RuntimeError, EOFError, UnpicklingError, KeyError) as error:
        _log.warning("%s is damaged and passed over: %s", checkpoint, str(error).split("\n")[0])
        return None
