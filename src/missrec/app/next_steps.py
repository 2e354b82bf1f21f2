"""What is said at the end of a command: where its files lie, and what is done with them next."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Collection
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from missrec.app.command_line.domain_folders import told
from missrec.app.command_line.grammar import as_word
from missrec.app.command_line.invocation import as_started

_log = logging.getLogger(__name__)


def say_end(kind: str, place: str | Path, *commands: str) -> None:
    """Names what a command leaves behind, and the commands that come next."""
    _log.info("%s: %s", kind, told(place))
    for word, command in zip(("next:", "or:  "), commands, strict=False):
        _log.info("%s %s", word, as_started(command))


def say_prepared(cfg: DictConfig) -> None:
    """The domain folders, and how they are encoded; or trained on, where features came with it."""
    folders = [Path(one) for one in cfg.data.folders]
    choice = _choice(cfg)
    train = f"python src/train.py experiment=scratch data={choice}"
    if all(any(folder.glob("features/*.npy")) for folder in folders):
        commands = [train]
    elif "items" in cfg.data and OmegaConf.select(cfg, "data.items.path") is None:
        commands = [f"{train} model=sasrec"]
    else:
        extract = f"python src/extract.py data={choice}"
        commands = [f"{extract} encoder=lsa images=none", extract]
    say_end("domain folder", folders[0], *commands)


def say_extracted(cfg: DictConfig, modalities: Collection[str]) -> None:
    """The features, and how they are trained on."""
    one = "" if len(modalities) > 1 else f" inputs={next(iter(modalities), 'text')}"
    command = f"python src/train.py experiment=scratch data={_choice(cfg)}{one}"
    say_end("features", Path(cfg.data.folders[0]) / "features", command)


def say_evaluated(run: str) -> None:
    """The folder of the figures."""
    named = shlex.join([f"run={as_word(told(run))}"])
    say_end("written into", Path(run) / "evaluation", f"python src/recommend.py {named}")


def _choice(cfg: DictConfig) -> str:
    """What chooses the data, also elsewhere than in `data/`."""
    folder = told(cfg.paths.data_dir)
    place = [] if folder == "data" else [shlex.join([f"paths.data_dir={as_word(folder)}"])]
    return " ".join([str(cfg.data.choice), *place])
