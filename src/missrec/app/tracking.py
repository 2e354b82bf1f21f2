"""Loggers, and what a run folder records of how it was made."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger

from missrec.metrics.ranking import TargetRanks
from missrec.types import DomainSpan

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


def wandb_logger(
    *, save_dir: str, project: str, group: str, name: str, job_type: str, mode: str
) -> WandbLogger:
    """A W&B logger that never asks a question and never waits for a login.

    Args:
        save_dir: run folder; offline runs lie in `<save_dir>/wandb`. A run resumed in the same
            folder continues the same W&B run.
        project: W&B project.
        group: experiment or sweep.
        name: name of the run.
        job_type: pretrain, transfer or scratch.
        mode: `online`, `offline`, or `auto`: online where an API key is known, else offline.

    Raises:
        ValueError: another mode.
    """
    import wandb  # takes seconds to import, and only runs that log need it

    if mode not in {"auto", "online", "offline"}:
        raise ValueError(f"logger mode ({mode!r}) must be auto, online or offline")
    if mode == "auto":
        logged_in = wandb.login(prompt=False, verify=False)
        mode = os.environ.get("WANDB_MODE") or ("online" if logged_in else "offline")
    id_file = Path(save_dir) / "wandb_id.txt"
    if not id_file.exists():
        id_file.write_text(uuid.uuid4().hex[:8] + "\n")
    return WandbLogger(
        save_dir=save_dir,
        project=project,
        group=group,
        name=name,
        job_type=job_type,
        id=id_file.read_text().strip(),
        resume="allow",
        offline=mode != "online",
        settings=wandb.Settings(
            mode="online" if mode == "online" else "offline", silent=True, console="off"
        ),
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


def record_provenance(run_dir: Path, cfg: DictConfig, *, pretrained: Path | None) -> None:
    """Writes the `saved_config` and where all else came from into the run folder.

    Args:
        run_dir: made if need be.
        cfg: of the run.
        pretrained: the checkpoint that the run started from.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    saved = saved_config(cfg, pretrained=pretrained)
    (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(saved), encoding="utf-8")
    provenance = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "git": _git_state(Path(cfg.paths.root_dir)),
        "pretrained": None if pretrained is None else _fingerprint(pretrained),
    }
    write_json(run_dir / "provenance.json", provenance)


def save_ranks(path: Path, span: DomainSpan, users: TargetRanks) -> None:
    """Writes one row per user: its expected rank, its ties, and the target's id in its domain."""
    table = pl.DataFrame(
        {
            "user_id": users.user_ids.cpu().numpy(),
            "target_id": (users.target_ids - span.first_item + 1).cpu().numpy(),
            "rank": users.ranks.cpu().numpy(),
            "num_equal": users.num_equal.cpu().numpy(),
        }
    )
    table.write_parquet(path)


def log_table(logger: WandbLogger, key: str, table: pl.DataFrame) -> None:
    """Shows a table in W&B."""
    logger.log_table(key, columns=table.columns, data=[list(row) for row in table.rows()])


def close_loggers(trainer: Trainer) -> None:
    """Ends the W&B run, so that the next job of a sweep in this process starts its own."""
    for logger in trainer.loggers:
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole or not at all."""
    draft = path.with_suffix(".json.draft")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.rename(path)


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
