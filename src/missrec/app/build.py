"""Ready objects of what a config describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from hydra.utils import instantiate
from torch import nn

from missrec.app.settings import RunSettings
from missrec.data.datamodule import SequenceDataModule
from missrec.features.store import TEXT, TEXT_VIEW, read_features
from missrec.features.table import FeatureTable
from missrec.runs.identity import Identity, data_identity
from missrec.training.module import RecommenderModule
from missrec.types import Catalogue


class Experiment(NamedTuple):
    """The data and the module of a run, ready for a trainer.

    Attributes:
        datamodule: set up.
        module: with the model inside.
        catalogue: what the model was told of the items.
        identity: what the data is known by.
    """

    datamodule: SequenceDataModule
    module: RecommenderModule
    catalogue: Catalogue
    identity: Identity


def build_experiment(run: RunSettings) -> Experiment:
    """Reads the domain folders and builds the model for them.

    Raises:
        FileNotFoundError, ValueError: a folder is missing or broken, or a setting is wrong.
    """
    datamodule: SequenceDataModule = build(run.config, "datamodule")
    datamodule.setup()
    features, second_views = _feature_tables(run, datamodule)
    identity = data_identity(datamodule, modalities=run.modalities)
    catalogue = Catalogue(
        num_items=datamodule.num_items,
        train_counts=datamodule.train_counts,
        train_sequences=datamodule.train_sequences,
        features=features,
        second_views=second_views,
    )
    model: nn.Module = build(run.config, "model", catalogue=catalogue)
    metrics = run.config["metrics"]
    module = RecommenderModule(
        model=model,
        optimizer=_constructor(run.config, "optimizer"),
        spans=datamodule.spans,
        cutoffs=run.cutoffs,
        filter_seen=metrics["filter_seen"],
        users_per_tile=metrics["users_per_tile"],
        items_per_tile=metrics["items_per_tile"],
        identity=identity,
    )
    _check_optimizer(module)
    return Experiment(datamodule, module, catalogue, identity)


def compile_modules(model: nn.Module, names: Sequence[str], *, backend: str) -> None:
    """Has torch.compile take parts of a model, each for inputs of any batch size and length.

    Args:
        model: changed in place; the names of its parameters stay.
        names: of submodules, such as `network`.
        backend: of torch.compile.

    Raises:
        ValueError: the model has no such part.
    """
    for name in names:
        try:
            part = model.get_submodule(name)
        except AttributeError as error:
            known = ", ".join(child for child, _ in model.named_children()) or "none"
            raise ValueError(
                f"compiled_modules: the model has no part {name!r}; its parts: {known}"
            ) from error
        part.compile(dynamic=True, backend=backend)


def build(config: Mapping[str, Any], key: str, **parts: Any) -> Any:
    """The object that `config[key]` describes, with ready parts as further arguments.

    Raises:
        ValueError: the constructor does not know one of the config's keys, or lacks one.
    """
    if not config.get(key):
        raise ValueError(f"{key} is missing; see conf/{key}/")
    try:
        return _constructor(config, key)(**parts)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise ValueError(f"{key}: {error}; see conf/{key}/") from error


def _constructor(config: Mapping[str, Any], key: str) -> partial[Any]:
    # Ready parts go past Hydra, which would copy them and turn dataclasses into dicts.
    constructor: partial[Any] = instantiate(config[key], _partial_=True, _convert_="all")
    return constructor


def _check_optimizer(module: RecommenderModule) -> None:
    """Calls the optimizer once: its partial hides a mistake until it is called."""
    try:
        if module.learns:
            module.configure_optimizers()
    except TypeError as error:
        raise ValueError(f"optimizer: {error}; see conf/optimizer/") from error


def _feature_tables(
    run: RunSettings, datamodule: SequenceDataModule
) -> tuple[FeatureTable, FeatureTable | None]:
    """The features, and the second view of the texts where it is one of the inputs."""
    num_items = [span.last_item - span.first_item + 1 for span in datamodule.spans]
    domains = [
        read_features(folder, run.modalities, num_items=count)
        for folder, count in zip(run.data.folders, num_items, strict=True)
    ]
    views = [{TEXT: domain.pop(TEXT_VIEW)} for domain in domains if TEXT_VIEW in domain]
    table = partial(FeatureTable, num_items=num_items)
    features = table(domains, resident_bytes=run.config["features"]["resident_bytes"])
    # Few models read a second view, and in pre-training alone: it stays on disk.
    return features, table(views, resident_bytes=0) if views else None
