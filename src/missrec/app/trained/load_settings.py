"""The settings by which a command loads a trained run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from missrec.app.settings import accepts, read_new_items
from missrec.features.checks import check_truths


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """What is loaded, and how; its fields are arguments of `load_recommender`.

    Attributes:
        run: folder of the run, or a link to it.
        data_dir: where the domain folders are.
        domain: whose items, of a run on several domains.
        index: how the best items are found.
        changed_data: `refuse` or `accept`.
        new_items: `refuse` or `features`.
        new_item_ids: `zero` or `predicted`.
        trust: whether the run may name code that is none of this project's.
    """

    run: str
    data_dir: Path
    domain: str | None
    index: str
    changed_data: str
    new_items: str
    new_item_ids: str
    trust: bool


def read_load_settings(config: Mapping[str, Any]) -> LoadSettings:
    """What a command's config says of loading.

    Raises:
        ValueError: one of the settings is none that there can be.
    """
    accepts(config["changed_data"])
    read_new_items(config)
    check_truths(trust=config["trust"])
    if not isinstance(config["run"], str):
        raise ValueError(f"run ({config['run']}) must name one run folder")
    read: dict[str, Any] = {
        "data_dir": Path(config["paths"]["data_dir"]),
        "index": str(config["index"]),
    }
    names = {field.name for field in fields(LoadSettings)} - read.keys()
    return LoadSettings(**{name: config[name] for name in names}, **read)
