"""`--help` of a command: its examples, its choices, and its settings with their meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from missrec.app.command_line.project import conf_dir
from missrec.app.command_line.values import comments
from missrec.runs.settings import leaves

_ALL = "--help=all"
_HELP = {"--help", "-h", _ALL}
_RESOLVE = "--resolve"
_MOST_CHANGED = (
    "seed",
    "pretrained",
    "trainer.max_epochs",
    "trainer.accelerator",
    "trainer.devices",
    "datamodule.batch_size",
    "datamodule.max_seq_len",
    "optimizer.lr",
    "model.embed_dim",
    "callbacks.early_stopping.patience",
)
"""What is shown of a command that trains; of another its own settings are."""

_NO_MATTER = {_RESOLVE, "--multirun", "-m", "--run", "-r"}


def help_text(command: str, arguments: Sequence[str]) -> str | None:
    """What `--help` prints, its settings as the other arguments make them.

    With their meaning, which is their comment in `conf/`; `--help=all` shows all, as a config.

    **Differs** from Hydra's own, which finds out all groups of the config, twice, and copies its
    whole repository of configs for each: our templates name only the settings.

    Args:
        command: name of its primary config.
        arguments: of the command line, without the program's name.

    Returns:
        None where Hydra is to answer: nobody asks for help, or with another option of Hydra's.

    Raises:
        HydraException: the config cannot be composed.
    """
    options = {argument for argument in arguments if argument.startswith("-")}
    if not _HELP & options or options - _HELP - _NO_MATTER:
        return None
    overrides = [argument for argument in arguments if argument not in options]
    with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name=command):
        cfg = compose(command, overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)  # of which interpolations know
    settings = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    if _ALL in options or _RESOLVE in options:
        shown = OmegaConf.to_yaml(settings, resolve=_RESOLVE in options)
    else:
        shown = _explained(command, settings, cfg.hydra.runtime.choices)
    return Template(cfg.hydra.help.template).substitute(CONFIG=shown)


def _explained(command: str, settings: DictConfig, chosen: Mapping[str, str | None]) -> str:
    """A line for each setting that people change: its key, its value and its meaning."""
    content: Any = OmegaConf.to_container(settings, resolve=False)
    values = {key: value for key, value in leaves(content) if not key.endswith("_")}
    keys = [key for key in values if "." not in key and values[key] != {}]
    if "trainer.max_epochs" in values:
        keys = [key for key in _MOST_CHANGED if key in values]
    rows = [(f"{key}={_typed(values[key])}", _meaning(command, key, chosen)) for key in keys]
    width = min(max(len(row[0]) for row in rows), 44)
    lines = [f"  {typed:{width}}  {meaning}".rstrip() for typed, meaning in rows]
    return "\n".join([*lines, "", f"--help=all shows all {len(values)} settings.", ""])


def _meaning(command: str, key: str, chosen: Mapping[str, str | None]) -> str:
    """The comment of a setting: in the chosen file of its group, another of it, or the command."""
    section, _, name = key.rpartition(".")
    folder = conf_dir() / (section.partition(".")[0] or command)
    files = [folder / f"{chosen.get(folder.name)}.yaml", *sorted(folder.glob("*.yaml"))]
    files += [conf_dir() / f"{command}.yaml", conf_dir() / "train.yaml"]
    said = (comments(path).get(name) for path in files if path.is_file())
    return next((meaning for meaning in said if meaning), "")


def _typed(value: Any) -> str:
    """A value as it is typed."""
    return value if isinstance(value, str) else json.dumps(value)
