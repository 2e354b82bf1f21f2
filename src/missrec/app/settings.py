"""Typed settings of a command, read once of its composed config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from missrec.app.command_line.domain_folders import absolute_folders
from missrec.app.command_line.names import domain_name, folder_name, named_sources
from missrec.features.checks import check_truths

Config = dict[str, Any]
"""A composed config as plain values, resolved."""


class Paths(NamedTuple):
    """Folders of the project."""

    root_dir: Path
    data_dir: Path
    log_dir: Path


class DataSettings(NamedTuple):
    """The data of a command.

    Attributes:
        name: as runs and reports show it.
        choice: what `data=` makes it.
        folders: of its domains, in their order.
        sources: name -> what the source is built of.
        made_on_first_use: whether a missing folder is made without being asked for.
    """

    name: str
    choice: str
    folders: list[Path]
    sources: Mapping[str, Config]
    made_on_first_use: bool


class Stage(NamedTuple):
    """What trains before a run, which starts from it.

    Attributes:
        experiment: what trains; empty of a stage that a saved run knows by its checkpoint alone.
        same_data: it reads the run's data and hands over all it learnt.
        overrides: its own settings.
        checkpoint: what came out; None until it has been trained.
    """

    experiment: str
    same_data: bool
    overrides: list[str]
    checkpoint: Path | None


class NewItems(NamedTuple):
    """How a model takes to items that it was not trained on.

    Attributes:
        predict_ids: their id vectors are predicted from their features, rather than zero.
    """

    predict_ids: bool


class ListSettings(NamedTuple):
    """What is measured of the best items of each test user; see docs/beyond_accuracy.md.

    Attributes:
        cutoffs: values of k; without any, nothing is measured.
        cold_item: a cold item occurs at most so often in training.
        cold_user: a cold user has a history of at most so many items.
    """

    cutoffs: list[int]
    cold_item: int
    cold_user: int


LISTS_BEFORE = ListSettings(cutoffs=[10], cold_item=4, cold_user=5)
"""Of runs that are older than these settings: what conf/train.yaml says was before."""


class RunSettings(NamedTuple):
    """The settings of a run that the app itself reads; parts read theirs from `config`.

    Attributes:
        config: all settings, resolved; what parts are built of, and what is recorded.
        run_dir: folder of the run.
        name: of the run.
        model: name of its model.
        experiment: name of its experiment.
        resume: whether it goes on where its checkpoints end.
        overwrite: whether a run that the folder holds may be replaced.
        accepts_changed_data: whether it goes on with other data than it was made on.
        new_items: how it takes over items of what it starts from or goes on with; None where it
            does not, or they must be the same.
        seed: None for one of its own.
        paths: of the project.
        data: of the run.
        modalities: its features.
        transfer: `inductive` or `transductive`.
        item_ids: whether it learns a vector for each item.
        pretrained: a run folder or a checkpoint to start from.
        stages: what trains before it, in order.
        trainable: names that still train of what was loaded; None for all.
        cutoffs: values of k of its metrics.
        shown: metrics on the terminal.
        lists: what is measured of the lists of its test users.
    """

    config: Config
    run_dir: Path
    name: str
    model: str
    experiment: str
    resume: bool
    overwrite: bool
    accepts_changed_data: bool
    new_items: NewItems | None
    seed: int | None
    paths: Paths
    data: DataSettings
    modalities: list[str]
    transfer: str
    item_ids: bool
    pretrained: str | None
    stages: tuple[Stage, ...]
    trainable: list[str] | None
    cutoffs: list[int]
    shown: list[str]
    lists: ListSettings


def read_paths(config: Config) -> Paths:
    """The folders of the project."""
    return Paths(*(Path(config["paths"][name]) for name in Paths._fields))


def read_data(config: Config) -> DataSettings:
    """The data of a command, with names that folders can have.

    Raises:
        ValueError: see `absolute_folders` and `domain_name`.
    """
    data = config["data"]
    return DataSettings(
        name=domain_name(data["name"]),
        choice=data.get("choice", data["name"]),  # runs from before it have none
        folders=[Path(folder) for folder in absolute_folders(data["folders"])],
        sources=named_sources(data["sources"]),
        made_on_first_use=data["made_on_first_use"],
    )


def read_run(config: Config) -> RunSettings:
    """The settings of a run.

    Raises:
        ValueError: one is missing, or has a value that it cannot have.
    """
    try:
        _check_types(config)
        return _read_run(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the config of the run lacks {error}, or has it in another place: it is of another "
            "version"
        ) from error


def _check_types(config: Config) -> None:
    """Refuses values that a hand-edited config or a command line may have, before they are used."""
    truths = ("overwrite", "debug", "keep_freed_memory")
    check_truths(**{key: config.get(key, False) for key in truths})
    seed = config["seed"]
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise ValueError(f"seed ({seed}) must be a whole number or null")
    for key in ("experiment", "run"):
        folder_name(config["names"][key], f"names.{key}")
    if not str(config["run_dir"]).strip():
        raise ValueError("run_dir is empty; leave it out, or name it")
    lists = {
        "inputs.modalities": config["inputs"]["modalities"],
        "metrics.cutoffs": config["metrics"]["cutoffs"],
        "stages": config["stages"],
    }
    for key, value in lists.items():
        if not isinstance(value, list):
            raise ValueError(f"{key} ({value}) must be a list")
    for key in ("model", "optimizer", "trainer", "datamodule", "callbacks", "logger"):
        if not isinstance(config.get(key), dict):
            raise ValueError(f"{key} ({config.get(key)}) must be a group of settings")
    if not isinstance(config["data"]["sources"], dict):
        raise ValueError(f"data.sources ({config['data']['sources']}) must be a group of settings")
    if config["pretrained"] and any(not stage.get("same_data") for stage in config["stages"]):
        raise ValueError(
            f"pretrained ({config['pretrained']}) and stages: the run starts from its last stage; "
            "leave one out, such as stages=none"
        )


def _read_run(config: Config) -> RunSettings:
    return RunSettings(
        config=config,
        run_dir=Path(config["run_dir"]),
        name=config["names"]["run"],
        model=config["names"]["model"],
        experiment=config["names"]["experiment"],
        resume=bool(config["resume"]),
        overwrite=config["overwrite"],
        accepts_changed_data=accepts(config["changed_data"]),
        new_items=read_new_items(config),
        seed=config["seed"],
        paths=read_paths(config),
        data=read_data(config),
        modalities=config["inputs"]["modalities"],
        transfer=config["transfer"]["name"],
        item_ids=config["transfer"]["item_ids"],
        pretrained=config["pretrained"],
        stages=tuple(_stage(one, config["stage_overrides"]) for one in config["stages"]),
        trainable=config["freeze"]["trainable"],
        cutoffs=config["metrics"]["cutoffs"],
        shown=config["metrics"]["shown"],
        lists=read_lists(config["metrics"].get("lists")),
    )


def read_lists(asked: Config | None) -> ListSettings:
    """What to measure of lists; of a run from before there were settings, what they say by default.

    Raises:
        ValueError: a setting has a value that it cannot have.
    """
    if asked is None:
        return LISTS_BEFORE
    found = ListSettings(**{name: asked[name] for name in ListSettings._fields})
    if not isinstance(found.cutoffs, list) or not all(_is_whole(k, 1) for k in found.cutoffs):
        raise ValueError(
            f"lists.cutoffs ({found.cutoffs}) must be a list of whole numbers, each at "
            "least 1, such as [10]"
        )
    if len(set(found.cutoffs)) < len(found.cutoffs):
        raise ValueError(f"lists.cutoffs ({found.cutoffs}) names a number twice")
    for name in ("cold_item", "cold_user"):
        if not _is_whole(limit := asked[name], 0):
            raise ValueError(f"lists.{name} ({limit}) must be a whole number, 0 or more")
    return found


def _is_whole(value: object, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest


def accepts(changed_data: str) -> bool:
    """Whether the setting says to go on with other data.

    Raises:
        ValueError: it is neither of its values.
    """
    if changed_data not in {"refuse", "accept"}:
        raise ValueError(f"changed_data ({changed_data}) must be refuse or accept")
    return changed_data == "accept"


def read_new_items(config: Mapping[str, Any]) -> NewItems | None:
    """What the settings of a command say of new items; None where they are refused.

    Raises:
        ValueError: a setting has none of its values.
    """
    way, ids = config.get("new_items", "refuse"), config.get("new_item_ids", "zero")
    if way not in {"refuse", "features"}:
        raise ValueError(f"new_items ({way}) must be refuse or features")
    if ids not in {"zero", "predicted"}:
        raise ValueError(f"new_item_ids ({ids}) must be zero or predicted")
    return NewItems(predict_ids=ids == "predicted") if way == "features" else None


def _stage(described: Config, overrides: list[str]) -> Stage:
    checkpoint = described.get("checkpoint")
    return Stage(
        experiment=described.get("experiment") or "",
        same_data=described.get("same_data", False),
        overrides=[*described.get("overrides", []), *overrides],
        checkpoint=None if checkpoint is None else Path(checkpoint),
    )
