"""In a process of tests Hydra reads and composes what is chosen once, until a file has changed.

Hundreds of tests compose a config, each time from forty files; what differs is the values on top.
What is kept are bytes, which are read in a hundredth of the time, and give each its own copy.
"""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig

from missrec.app.command_line.imports import heavy_imports

SAVED = "saved_config"
"""The config of the run that is resumed, which is in no file of `conf/`."""
_load = ConfigRepository.load_config
_list_defaults = config_loader_impl.create_defaults_list
_merge = ConfigLoaderImpl._compose_config_from_defaults_list
_loaded: dict[object, bytes] = {}
_lists: dict[object, DefaultsList] = {}
_merged: dict[int, bytes] = {}
"""By the identity of a list of `_lists`: what its files make."""


def pytest_configure() -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(ConfigRepository, "load_config", _load_config)
    patch.setattr(config_loader_impl, "create_defaults_list", _defaults_list)
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", _compose)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nobody looks for garbage while tests are imported, nor later in what that has made.

    Later it is looked for after 20,000 new objects, not 700: a composed config has so many.
    """
    with heavy_imports():
        collected = yield
        gc.freeze()
        gc.set_threshold(20_000)
    return collected


def pytest_unconfigure() -> None:
    gc.unfreeze()  # for libraries that look at the end whether all of theirs is gone


def _load_config(repo: ConfigRepository, config_path: str) -> ConfigResult | None:
    source = repo._find_object_source(config_path, ObjectType.CONFIG)
    path = Path(source.path, source._normalize_file_name(config_path)) if source else Path()
    if not path.is_absolute():
        return _load(repo, config_path)
    found = path.stat()
    key = (source.provider, path, found.st_mtime_ns, found.st_size)
    if key not in _loaded:
        _loaded[key] = pickle.dumps(_load(repo, config_path))
    result: ConfigResult = pickle.loads(_loaded[key])
    return result


def _defaults_list(
    repo: Any, config_name: str | None, overrides_list: Sequence[Override], **modes: bool
) -> DefaultsList:
    """As Hydra's: the files that the overrides choose, and the overrides that are values."""
    if config_name == SAVED:
        return _list_defaults(repo, config_name, [*overrides_list], **modes)
    values = Overrides(repo=repo, overrides_list=[*overrides_list]).config_overrides
    chosen = [one.input_line for one in overrides_list if not any(one is value for value in values)]
    key = (config_name, *chosen, *modes.values(), *map(_state, repo.get_sources()))
    if key not in _lists:
        _lists[key] = _list_defaults(repo, config_name, [*overrides_list], **modes)
    return replace(_lists[key], config_overrides=values)


def _compose(loader: ConfigLoaderImpl, defaults: list[ResultDefault], repo: Any) -> DictConfig:
    if id(defaults) not in _merged:
        merged = _merge(loader, defaults=defaults, repo=repo)
        if not any(kept.defaults is defaults for kept in _lists.values()):
            return merged
        _merged[id(defaults)] = pickle.dumps(merged)
    config: DictConfig = pickle.loads(_merged[id(defaults)])
    return config


def _state(source: ConfigSource) -> object:
    """Changes with any file of a source."""
    is_folder = Path(source.path).is_absolute() and Path(source.path).is_dir()
    return source.provider, source.path, *(_files(source.path) if is_folder else ())


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    """Path, time and size of each file below a folder."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _files(entry.path)
        else:
            found = entry.stat()
            yield entry.path, found.st_mtime_ns, found.st_size
