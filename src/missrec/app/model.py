"""The data of a run and the model for it, ready for whatever works on them; no Lightning in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from hydra.utils import instantiate
from torch import nn

from missrec.app.settings import RunSettings
from missrec.data.split_domains import SplitDomains
from missrec.features.store import TEXT, TEXT_VIEW, read_features
from missrec.features.table import FeatureTable
from missrec.runs.identity import Identity, data_identity
from missrec.types import Catalogue, LearnsItems


class ModelOnData(NamedTuple):
    """A model, and what it was built on.

    Attributes:
        model: with the weights that its constructor gave it.
        catalogue: what it was told of the items.
        identity: what the data is known by.
    """

    model: nn.Module
    catalogue: Catalogue
    identity: Identity


def open_domains(run: RunSettings) -> SplitDomains:
    """The data of a run, as its split has it.

    Raises:
        FileNotFoundError, ValueError: a folder is missing or broken.
    """
    return SplitDomains(run.data.folders, build(run.config["datamodule"], "split"))


def build_model(run: RunSettings, domains: SplitDomains) -> ModelOnData:
    """The model of a run for these domains.

    Raises:
        FileNotFoundError, ValueError: features are missing or broken, or a setting is wrong.
    """
    features, second_views = _feature_tables(run, domains)
    identity = data_identity(domains, modalities=run.modalities)
    catalogue = Catalogue(
        num_items=domains.num_items,
        train_counts=domains.train_counts,
        train_sequences=domains.train_sequences,
        features=features,
        second_views=second_views,
    )
    model = build(run.config, "model", catalogue=catalogue)
    if isinstance(objective := getattr(model, "objective", None), LearnsItems):
        objective.learn_items(catalogue)
    return ModelOnData(model, catalogue, identity)


def build(config: Mapping[str, Any], key: str, **parts: Any) -> Any:
    """The object that `config[key]` describes, with ready parts as further arguments.

    Raises:
        ValueError: the constructor does not know one of the config's keys, or lacks one.
    """
    if not config.get(key):
        raise ValueError(f"{key} is missing; see conf/{key}/")
    try:
        return constructor(config, key)(**parts)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise ValueError(f"{key}: {error}; see conf/{key}/") from error


def constructor(config: Mapping[str, Any], key: str) -> partial[Any]:
    """What makes the object that `config[key]` describes, once it is called."""
    # Ready parts go past Hydra, which would copy them and turn dataclasses into dicts.
    made: partial[Any] = instantiate(config[key], _partial_=True, _convert_="all")
    return made


def _feature_tables(
    run: RunSettings, domains: SplitDomains
) -> tuple[FeatureTable, FeatureTable | None]:
    """The features, and the second view of the texts where it is one of the inputs."""
    num_items = [span.last_item - span.first_item + 1 for span in domains.spans]
    by_domain = [
        read_features(folder, run.modalities, num_items=count)
        for folder, count in zip(run.data.folders, num_items, strict=True)
    ]
    views = [{TEXT: found.pop(TEXT_VIEW)} for found in by_domain if TEXT_VIEW in found]
    table = partial(FeatureTable, num_items=num_items)
    features = table(by_domain, resident_bytes=run.config["features"]["resident_bytes"])
    # Few models read a second view, and in pre-training alone: it stays on disk.
    return features, table(views, resident_bytes=0) if views else None
