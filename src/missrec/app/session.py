"""The session of a command: configs composed, checked, and turned once into typed settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from missrec.app.composition import check_composition
from missrec.runs.folder import RunFolder

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
    """

    config: Config
    run_dir: Path
    name: str
    model: str
    experiment: str
    resume: bool
    overwrite: bool
    accepts_changed_data: bool
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


def plain(cfg: DictConfig) -> Config:
    """A composed config as plain values, resolved."""
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def read_paths(config: Config) -> Paths:
    """The folders of the project."""
    return Paths(*(Path(config["paths"][name]) for name in Paths._fields))


def read_data(config: Config) -> DataSettings:
    """The data of a command."""
    data = config["data"]
    return DataSettings(
        name=data["name"],
        choice=data.get("choice", data["name"]),  # runs from before it have none
        folders=[Path(folder) for folder in data["folders"]],
        sources=data["sources"],
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
    for key in ("overwrite", "debug", "keep_freed_memory"):
        if not isinstance(config.get(key, False), bool):
            raise ValueError(f"{key} ({config[key]}) must be true or false")
    seed = config["seed"]
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise ValueError(f"seed ({seed}) must be a whole number or null")
    lists = {
        "data.folders": config["data"]["folders"],
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
    )


def accepts(changed_data: str) -> bool:
    """Whether the setting says to go on with other data.

    Raises:
        ValueError: it is neither of its values.
    """
    if changed_data not in {"refuse", "accept"}:
        raise ValueError(f"changed_data ({changed_data}) must be refuse or accept")
    return changed_data == "accept"


def _stage(described: Config, overrides: list[str]) -> Stage:
    checkpoint = described.get("checkpoint")
    return Stage(
        experiment=described.get("experiment") or "",
        same_data=described.get("same_data", False),
        overrides=[*described.get("overrides", []), *overrides],
        checkpoint=None if checkpoint is None else Path(checkpoint),
    )


def occupied(folder: RunFolder) -> str:
    """What to say of a folder that a new run finds with a run in it."""
    return (
        f"{folder.path} holds a run; resume={folder.path} goes on with it, overwrite=true replaces "
        "it"
    )


def continued(run: RunSettings) -> RunSettings:
    """The run that its folder holds goes on, if it holds one and this one does not replace it."""
    goes_on = RunFolder(run.run_dir).holds_run and not run.overwrite
    return run._replace(resume=run.resume or goes_on)


def read_train(cfg: DictConfig) -> RunSettings:
    """The settings of `train.py`, whose choices are found to go together.

    Raises:
        ConfigCompositionException: a name would not hold.
    """
    check_names(cfg, HydraConfig.get())
    return read_run(plain(cfg))


def check_names(cfg: DictConfig, hydra: Any) -> None:
    """Refuses a train config in which a name would not hold; see `check_composition`.

    The saved config of a run has made no choices, and is as it was.
    """
    chosen: dict[str, str | None] = dict(hydra.runtime.choices)
    if chosen.get("model"):
        settings: Any = OmegaConf.to_container(cfg, resolve=False)
        check_composition(settings, Path(cfg.paths.root_dir) / "conf", chosen, hydra.overrides.task)


def compose_train(
    root_dir: Path, overrides: Sequence[str], *, with_hydra: bool = False
) -> DictConfig:
    """The train config with these overrides.

    Args:
        root_dir: of the project.
        overrides: as on a command line.
        with_hydra: keep Hydra's own part.

    Raises:
        HydraException: it cannot be composed, or a name would not hold.
    """
    if not GlobalHydra.instance().is_initialized():
        with initialize_config_dir(str(root_dir / "conf"), version_base="1.3"):
            return compose_train(root_dir, overrides, with_hydra=with_hydra)
    cfg = compose("train", list(overrides), return_hydra_config=True)
    hydra = cfg.hydra
    if not with_hydra:
        with open_dict(cfg):
            del cfg["hydra"]
    check_names(cfg, hydra)
    return cfg


@contextmanager
def composed(root_dir: Path, overrides: Sequence[str]) -> Iterator[DictConfig]:
    """The config that `train.py` would run these overrides with; `${hydra:...}` knows of them."""
    outer = HydraConfig.instance().cfg
    cfg = compose_train(root_dir, overrides, with_hydra=True)
    HydraConfig.instance().set_config(cfg)
    try:
        job = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        OmegaConf.set_struct(job, True)
        yield job
    finally:
        HydraConfig.instance().cfg = outer


def quoted(value: str | Path) -> str:
    """A value as Hydra's grammar takes it, whatever characters it has."""
    escaped = str(value).replace("'", "\\'")
    return f"'{escaped}'"
