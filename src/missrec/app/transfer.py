"""Starting from a pre-trained run: find it or make it, load it, freeze what it brought."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from missrec.app.compose import compose_train, quoted
from missrec.app.resume import CHECKPOINTS
from missrec.distributed import is_first_process
from missrec.report.formats.terminal import print_transfer
from missrec.training.transfer import (
    Fate,
    by_component,
    count_parameters,
    freeze_all_but,
    load_pretrained,
)

_log = logging.getLogger(__name__)

_FORWARDED = (
    "model",
    "inputs",
    "ablation",
    "split",
    "seed",
    "logger",
    "paths",
    "trainer=",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
)
"""Of the overrides of a command, those that its pre-training takes over; with =, the choice."""

_FORWARDED_WITH_DATA = (*_FORWARDED, "data", "datamodule.max_seq_len", "pretrained")
"""Those that a first stage on the run's own data takes over."""

_CHOICES_WITH_DATA = ("data", "split", "inputs", "model")
"""Groups whose choice such a stage takes over, also where an experiment made it."""


def best_checkpoint(run_dir: Path) -> Path:
    """The checkpoint of a run folder that validation chose.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted((run_dir / CHECKPOINTS).glob("epoch_*.ckpt"))
    if not found:
        raise FileNotFoundError(
            f"{run_dir / CHECKPOINTS} holds no epoch_*.ckpt; train the run to the end of an epoch "
            f"first: python src/train.py resume={run_dir}"
        )
    return found[-1]


def pretrained_checkpoint(pretrained: str) -> Path:
    """The checkpoint that `pretrained=` names: a run folder or a file.

    Raises:
        FileNotFoundError: there is no such thing.
    """
    path = Path(pretrained)
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path} is neither a run folder nor a checkpoint; pretrained= names a run of "
            "experiment=pretrain, such as pretrained=logs/pretrain/<run>"
        )
    return best_checkpoint(path)


def start_from(
    checkpoint: Path, model: nn.Module, *, same_domain: bool, trainable: list[str] | None
) -> None:
    """Loads the weights of a pre-trained run, freezes them, and shows what became of each.

    Args:
        checkpoint: of the pre-trained run.
        model: changed in place.
        same_domain: the run had this run's data, so what belongs to a domain is loaded too.
        trainable: names that still train, and with them what was not loaded; nothing trains where
            there is no name, everything where it is None.

    Raises:
        ValueError: the file is damaged, or its model does not fit.
    """
    transferred = load_pretrained(model, _model_state(checkpoint), same_domain=same_domain)
    if trainable is not None:
        fresh = [tensor.name for tensor in transferred if tensor.fate is Fate.FRESH]
        freeze_all_but(model, [*trainable, *fresh] if trainable else [])
    if is_first_process():
        print_transfer(
            str(checkpoint), by_component(transferred), trainable=count_parameters(model)
        )


def compose_pretraining(cfg: DictConfig) -> DictConfig:
    """The config of the pre-training that `cfg.pretraining` names.

    It takes over the seed and what shapes the model from this command, with
    `cfg.pretraining_same_data` also the data, and writes beside this run, into a folder named by
    all its settings: jobs of a sweep that need the same pre-training share it.

    Raises:
        ValueError: with `cfg.pretraining_same_data`, the data would be other after all.
    """
    names = _FORWARDED_WITH_DATA if cfg.pretraining_same_data else _FORWARDED
    taken = []
    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        taken = [override for override in hydra.overrides.task if _is_forwarded(override, names)]
        if cfg.pretraining_same_data:
            named = {override.partition("=")[0] for override in taken}
            missing = [group for group in _CHOICES_WITH_DATA if group not in named]
            taken += [f"{group}={hydra.runtime.choices[group]}" for group in missing]
    overrides = [*taken, f"experiment={cfg.pretraining}", f"names.experiment={cfg.pretraining}"]
    overrides += [f"names.model={cfg.names.model}", f"seed={cfg.seed}"]
    overrides += cfg.pretraining_overrides
    root_dir = Path(cfg.paths.root_dir)
    stage = compose_train(root_dir, [*overrides, "run_dir=."])
    if cfg.pretraining_same_data:
        _check_same_data(cfg, stage)
    key = json.dumps(_resolved(stage), sort_keys=True)
    name = f"{cfg.pretraining}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    _log.info("pre-training first: python src/train.py %s", " ".join(overrides))
    place = f"run_dir={quoted(Path(cfg.run_dir).parent / name)}"
    return compose_train(root_dir, [*overrides, place])


def _check_same_data(cfg: DictConfig, stage: DictConfig) -> None:
    """Refuses a first stage that might learn from what this run holds out."""
    for group in ("data", "split"):
        if _resolved(stage[group]) != _resolved(cfg[group]):
            raise ValueError(
                f"pretraining={cfg.pretraining} would read other data than this run: it does not "
                f"know all settings of `{group}`; put those of an experiment file on the command "
                "line"
            )


def _is_forwarded(override: str, names: Sequence[str]) -> bool:
    key, separator, _ = override.lstrip("+~").partition("=")
    return any(
        name in {key, key + separator} or key.startswith((f"{name}.", f"{name}/")) for name in names
    )


def _resolved(cfg: DictConfig) -> Any:
    return OmegaConf.to_container(cfg, resolve=True)


def _model_state(checkpoint: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        state = content["state_dict"]
    except (RuntimeError, KeyError, OSError, EOFError) as error:
        raise ValueError(f"{checkpoint} is no whole checkpoint of this project: {error}") from error
    prefix = "model."
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
