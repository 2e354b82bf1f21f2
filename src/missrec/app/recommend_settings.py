"""The settings of `python src/recommend.py`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from omegaconf import DictConfig

from missrec.app.recommend_inputs import Inputs, read_inputs
from missrec.app.session import plain
from missrec.app.trained.load_settings import LoadSettings, read_load_settings
from missrec.features.checks import check_truths
from missrec.retrieval.batch.formats import check_format


@dataclass(frozen=True, kw_only=True)
class RecommendSettings:
    """The settings of the command.

    Attributes:
        load: what is loaded, and how.
        out: where to; None to show some alone.
        k: items for each.
        inputs: files that say for whom, and which items.
        exclude_seen: no items of the history.
        vectors: whether to write vectors too.
        show: how many to show by title.
        batch_size: users at a time.
        shard_size: users a file of what is done so far.
        overwrite: whether parts of another command may be removed.
        accelerator: to compute on.
        devices: processes, one a device.
        num_nodes: machines.
        show_progress: whether to draw a bar.
    """

    load: LoadSettings
    out: Path | None
    k: int
    inputs: Inputs
    exclude_seen: bool
    vectors: bool
    show: int
    batch_size: int
    shard_size: int
    overwrite: bool
    accelerator: str
    devices: int | str
    num_nodes: int
    show_progress: bool


def read_settings(cfg: DictConfig) -> RecommendSettings:
    """The settings of the command.

    Raises:
        ValueError: one is none that there can be.
    """
    config = plain(cfg)
    load = read_load_settings(config)
    truths = ("exclude_seen", "vectors", "overwrite", "show_progress")
    check_truths(**{name: config[name] for name in truths})
    for name in ("k", "batch_size", "shard_size", "num_nodes", "show"):
        least = 0 if name == "show" else 1
        if not isinstance(config[name], int) or config[name] < least:
            raise ValueError(f"{name} ({config[name]}) must be a whole number of at least {least}")
    out = None if config["out"] is None else Path(str(config["out"])).expanduser().absolute()
    if out is None and not config["show"]:
        raise ValueError("out has no value and show is 0; add out=<file>, such as out=recs.parquet")
    if out is not None:
        check_format(out)
        if out.is_dir():
            raise ValueError(
                f"out ({out}) is a folder; name a file, such as {out / 'recs.parquet'}"
            )
    inputs = read_inputs(config)
    for name, file in inputs.files.items():
        if out is not None and Path(file).expanduser().resolve() == out.resolve():
            raise ValueError(f"out ({out}) is the file of {name} too; name another")
    names = [field.name for field in fields(RecommendSettings)]
    own = {name: config[name] for name in names if name in config}
    return RecommendSettings(**{**own, "load": load, "out": out, "inputs": inputs})
