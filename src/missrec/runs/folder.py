"""A run folder: what it records of how the run was made, and what came out."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from missrec.files import sha256, write_json, write_text
from missrec.runs.format import current, versioned

CONFIG, METRICS, PROVENANCE = "config.yaml", "metrics.json", "provenance.json"
_SIGN = "# sha256 "
_METRICS_SUM = "metrics_sha256"

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
    content = path.read_bytes()
    try:
        config = OmegaConf.to_container(OmegaConf.load(StringIO(_checked(content))), resolve=False)
    except Exception as error:  # a damaged file makes the reader raise anything
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} is no mapping of settings")
    names = config.get("names")
    if not isinstance(names, dict) or "model" not in names:
        raise ValueError(f"{path} has no names.model: it is of another version, or no run's")
    return current({str(key): value for key, value in config.items()})


def read_provenance(run_dir: Path) -> dict[str, Any]:
    """What `provenance.json` of a run folder holds; nothing where there is none.

    Raises:
        ValueError: it cannot be read.
    """
    path = run_dir / PROVENANCE
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(provenance, dict):
        raise ValueError(f"{path} is no mapping")
    return provenance


def record_provenance(run_dir: Path, cfg: DictConfig, *, pretrained: Path | None) -> None:
    """Writes the `saved_config` and where all else came from into the run folder.

    Args:
        run_dir: made if need be.
        cfg: of the run.
        pretrained: the checkpoint that the run started from.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    saved = saved_config(cfg, pretrained=pretrained)
    plain: Any = OmegaConf.to_container(saved)
    text = OmegaConf.to_yaml(OmegaConf.create(versioned(plain)))
    write_text(run_dir / CONFIG, _signed(text))
    provenance = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "git": _git_state(Path(cfg.paths.root_dir)),
        "pretrained": None if pretrained is None else _fingerprint(pretrained),
    }
    write_json(run_dir / PROVENANCE, provenance)


def write_metrics(run_dir: Path, metrics: Mapping[str, float]) -> None:
    """Writes `metrics.json`, and notes its checksum for `check_metrics`.

    Killed in between, the metrics are there and nothing says that they are others.
    """
    provenance = read_provenance(run_dir)
    if provenance.pop(_METRICS_SUM, None) is not None:
        write_json(run_dir / PROVENANCE, provenance)
    write_json(run_dir / METRICS, dict(metrics))
    provenance[_METRICS_SUM] = sha256(run_dir / METRICS)
    write_json(run_dir / PROVENANCE, provenance)


def check_metrics(run_dir: Path) -> None:
    """Compares `metrics.json` with its checksum; runs of before have none.

    Raises:
        ValueError: the file is not as the run wrote it.
    """
    try:
        own = read_provenance(run_dir).get(_METRICS_SUM)
    except ValueError:
        return  # as a run of before: its metrics are what they are
    if own is not None and own != sha256(run_dir / METRICS):
        raise ValueError(f"{run_dir / METRICS} was changed since the run wrote it")


def _signed(text: str) -> str:
    """A config with the checksum of all else as its first line, a comment."""
    return f"{_SIGN}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def _checked(content: bytes) -> str:
    """The config without its checksum, if that is right; configs of before have none.

    Raises:
        ValueError: it is another one.
    """
    first, _, rest = content.partition(b"\n")
    if not first.startswith(_SIGN.encode()):
        return content.decode()
    if first.decode() != f"{_SIGN}{hashlib.sha256(rest).hexdigest()}":
        raise ValueError(
            "it was changed since it was written; if you changed it, delete its first line"
        )
    return rest.decode()


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
