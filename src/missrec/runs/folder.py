"""A run folder: what it records of how the run was made, and what came out."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from missrec.files import write_json, write_text
from missrec.runs.format import current, versioned

CONFIG, METRICS, PROVENANCE = "config.yaml", "metrics.json", "provenance.json"

_PACKAGES = (
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "numpy",
    "polars",
    "wandb",
)


def saved_config(cfg: DictConfig, *, pretrained: Path | None) -> DictConfig:
    """The resolved config to resume a run with, and to start its other processes with.

    Args:
        cfg: of the run.
        pretrained: the checkpoint that the run started from, named in place of the pre-training,
            so that nobody pre-trains again.
    """
    source = {} if pretrained is None else {"pretrained": str(pretrained), "pretraining": None}
    saved = OmegaConf.merge(cfg, source)
    OmegaConf.resolve(saved)
    assert isinstance(saved, DictConfig)
    return saved


def read_config(run_dir: Path) -> dict[str, Any]:
    """The saved config of a run as today's code would have saved it, not resolved.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it cannot be read, or is of a later format.
    """
    path = run_dir / CONFIG
    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} is no mapping of settings")
    return current({str(key): value for key, value in config.items()})


def record_provenance(
    run_dir: Path,
    cfg: DictConfig,
    *,
    pretrained: Path | None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Writes the `saved_config` and where all else came from into the run folder.

    Args:
        run_dir: made if need be.
        cfg: of the run.
        pretrained: the checkpoint that the run started from.
        facts: more to keep in `provenance.json`, see `provenance_facts`.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    saved = saved_config(cfg, pretrained=pretrained)
    plain: Any = OmegaConf.to_container(saved)
    text = OmegaConf.to_yaml(OmegaConf.create(versioned(plain)))
    write_text(run_dir / CONFIG, text)
    provenance = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "git": _git_state(Path(cfg.paths.root_dir)),
        "pretrained": None if pretrained is None else _fingerprint(pretrained),
    }
    write_json(run_dir / PROVENANCE, {**provenance, **(facts or {})})


def _fingerprint(path: Path) -> dict[str, str]:
    with path.open("rb") as content:
        return {"path": str(path), "sha256": hashlib.file_digest(content, "sha256").hexdigest()}


def _git_state(root: Path) -> dict[str, Any]:
    """Commit and whether the tree differs from it; nulls outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
