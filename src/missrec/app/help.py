"""`--help` of a command: its examples, its choices and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from missrec.app.project import conf_dir

_HELP = {"--help", "-h"}
_RESOLVE = "--resolve"
_NO_MATTER = {_RESOLVE, "--multirun", "-m", "--run", "-r"}


def help_text(command: str, arguments: Sequence[str]) -> str | None:
    """What `--help` prints, its settings as the other arguments make them.

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
    shown = OmegaConf.to_yaml(settings, resolve=_RESOLVE in options)
    return Template(cfg.hydra.help.template).substitute(CONFIG=shown)
