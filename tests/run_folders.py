"""Folders as finished runs leave them, without training: config, metrics, ranks, provenance."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import missrec.app.session  # noqa: F401  # has the resolvers that conf/ names
from missrec.metrics.ranking import ranking_metrics
from missrec.runs.folder import RunFolder
from missrec.runs.groups import Run, Setup
from missrec.runs.identity import provenance_facts

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("PROJECT_ROOT", str(ROOT))
CUTOFFS = [5, 10, 20, 50]
SETUP = Setup("missrec", "tv", "transductive", "full", pretrained=False, data="toys")


@cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    model = [o.removeprefix("model=") for o in overrides if o.startswith("model=")]
    names = [f"names.model={(model or ['missrec'])[0]}", "names.experiment=scratch", "run_dir=/run"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", overrides=[*overrides, *names])
    content: Any = OmegaConf.to_container(config, resolve=True)
    return content


def run_config(*overrides: str, seed: int | None = 1, **changes: Any) -> dict[str, Any]:
    """The resolved config of `train.py <overrides>`; changes are dotted keys with `__`."""
    config = copy.deepcopy(_composed(overrides))
    config["seed"] = config["datamodule"]["seed"] = seed
    for key, value in changes.items():
        *path, last = key.split("__")
        section = config
        for name in path:
            section = section[name]
        section[last] = value
    return config


def record_run(
    folder: Path,
    config: dict[str, Any],
    ranks: Sequence[float] | np.ndarray,
    *,
    targets: Sequence[int] | np.ndarray | None = None,
    epochs: int | None = 12,
    stopped_early: bool = True,
    commit: str = "a" * 40,
    dirty: bool = False,
    data: Mapping[str, Any] | None = None,
    accepted: Sequence[str] = (),
) -> Path:
    """Writes what a run that ranked users 0, 1, ... leaves; `epochs` is None of a floor.

    Its domain is the first of the config's folders. Without `data` it does not know what it was
    made on.
    """
    folder.mkdir(parents=True)
    text = json.dumps(config).replace('"/run', f'"{folder}')
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(json.loads(text))))
    above = torch.tensor(ranks, dtype=torch.float64) - 1
    metrics = ranking_metrics(above, torch.zeros_like(above), cutoffs=CUTOFFS)
    trained = {} if epochs is None else {"epochs": epochs, "stopped_early": float(stopped_early)}
    both = {f"{split}/{key}": value for split in ("val", "test") for key, value in metrics.items()}
    (folder / "metrics.json").write_text(json.dumps({**trained, **both}))
    provenance = {"git": {"commit": commit, "dirty": dirty}, "pretrained": None}
    facts = {} if data is None else provenance_facts(data, accepted=accepted)
    RunFolder(folder).write_provenance({**provenance, **facts})
    domain = Path(config["data"]["folders"][0]).name
    pl.DataFrame(
        {
            "user_id": np.arange(len(ranks)),
            "target_id": np.full(len(ranks), 7) if targets is None else np.asarray(targets),
            "rank": np.asarray(ranks, dtype=np.float64),
            "num_equal": np.zeros(len(ranks), dtype=np.int64),
        }
    ).write_parquet(folder / f"test_ranks_{domain}.parquet")
    if epochs:
        write_curve(folder, [0.05 + 0.002 * epoch for epoch in range(epochs)])
    return folder


def an_identity(domain: str = "toys", **parts: Any) -> dict[str, Any]:
    """What the data of a domain might be known by, with some parts changed."""
    known = {
        part: f"{part} of {domain}" for part in ("interactions", "items", "item_keys", "users")
    }
    split = {"by": "LeaveOneOut", "positions": "1"}
    return {domain: {**known, "split": split, "features": {}, **parts}}


def write_curve(folder: Path, values: Sequence[float], *, first: int = 0, version: int = 0) -> None:
    """The CSV of validation NDCG@10 of epochs first, first + 1, ... as the CSV logger writes it."""
    path = folder / "csv" / f"version_{version}" / "metrics.csv"
    path.parent.mkdir(parents=True)
    lines = ["epoch,step,val/ndcg@10,train/loss"]
    for epoch, value in enumerate(values, start=first):
        lines += [f"{epoch},{10 * epoch},{value},", f"{epoch},{10 * epoch},,{8 - epoch / 10}"]
    path.write_text("\n".join([*lines, ""]))


def a_run(
    name: str = "a",
    *,
    seed: int | None = 1,
    setup: Setup | None = None,
    settings: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    **changes: Any,
) -> Run:
    """A finished run as the report reads it, without a folder."""
    run = Run(
        name=name,
        folder=Path("/logs") / name,
        setup=setup or SETUP,
        seed=seed,
        data_choice="toys",
        settings=settings or {},
        metrics=metrics or {"test/recall@10": 0.5, "epochs": 3, "stopped_early": 1},
        ranks={},
        commit="a" * 40,
        dirty=False,
        first_stage=False,
        finished_at=0.0,
        data=None,
        places={},
        accepted=(),
    )
    return run._replace(**changes)


def write_ranks(
    path: Path, ranks: Sequence[float], *, first_user: int = 0, ties: bool = True
) -> Path:
    """The ranks of users first_user, first_user + 1, ..., whose target is item 7.

    Half a rank is a tie with one item; without `ties` nothing says so, as in a file of before.
    """
    users = range(first_user, first_user + len(ranks))
    table = pl.DataFrame({"user_id": users, "target_id": [7] * len(ranks), "rank": ranks})
    if ties:
        halves = [int(2 * (rank % 1)) if rank and math.isfinite(rank) else 0 for rank in ranks]
        table = table.with_columns(num_equal=pl.Series(halves, dtype=pl.Int64))
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(path)
    return path
