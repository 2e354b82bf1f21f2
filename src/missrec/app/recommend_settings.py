"""The settings of `python src/recommend.py`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from omegaconf import DictConfig

from missrec.app.recommend_inputs import Inputs, read_inputs
from missrec.app.session import plain
from missrec.features.checks import check_truths
from missrec.retrieval.batch.formats import check_format


@dataclass(frozen=True, kw_only=True)
class RecommendSettings:
    """The settings of the command.

    Attributes:
        run: folder of the run.
        out: where to; None to show some alone.
        k: items for each.
        domain: whose items, of a run on several domains.
        inputs: files that say for whom, and which items.
        exclude_seen: no items of the history.
        vectors: whether to write vectors too.
        index: how the best items are found.
        show: how many to show by title.
        batch_size: users at a time.
        shard_size: users a file of what is done so far.
        overwrite: whether parts of another command may be removed.
        accelerator: to compute on.
        devices: processes, one a device.
        num_nodes: machines.
        data_dir: where the domain folders are.
        changed_data: `refuse` or `accept`.
        new_items: `refuse` or `features`.
        new_item_ids: `zero` or `predicted`.
        trust: whether the run may name code that is none of this project's.
        show_progress: whether to draw a bar.
    """

    run: str
    out: Path | None
    k: int
    domain: str | None
    inputs: Inputs
    exclude_seen: bool
    vectors: bool
    index: str
    show: int
    batch_size: int
    shard_size: int
    overwrite: bool
    accelerator: str
    devices: int | str
    num_nodes: int
    data_dir: Path
    changed_data: str
    new_items: str
    new_item_ids: str
    trust: bool
    show_progress: bool


def read_settings(cfg: DictConfig) -> RecommendSettings:
    """The settings of the command.

    Raises:
        ValueError: one is none that there can be.
    """
    config = plain(cfg)
    truths = ("exclude_seen", "vectors", "overwrite", "trust", "show_progress")
    check_truths(**{name: config[name] for name in truths})
    for name in ("k", "batch_size", "shard_size", "num_nodes", "show"):
        least = 0 if name == "show" else 1
        if not isinstance(config[name], int) or config[name] < least:
            raise ValueError(f"{name} ({config[name]}) must be a whole number of at least {least}")
    if not isinstance(config["run"], str):
        raise ValueError(f"run ({config['run']}) must name one run folder")
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
    read = {
        "out": out,
        "index": str(config["index"]),
        "inputs": inputs,
        "data_dir": Path(config["paths"]["data_dir"]),
    }
    return RecommendSettings(**{**own, **read})
