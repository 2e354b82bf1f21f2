"""`python src/prepare.py`: a source of data into domain folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from missrec.app.command_line.domain_folders import (
    absolute_folders,
    check_prepared,
    folders_choice,
    told,
)
from missrec.app.command_line.project import conf_dir
from missrec.app.command_line.remedies import nearest
from missrec.app.session import plain
from missrec.app.settings import Config, DataSettings, Paths, read_data, read_paths
from missrec.data.domain import (
    INTERACTIONS,
    ITEMS,
    USERS,
    DomainSource,
    PreparedDomain,
    write_domain,
)
from missrec.data.fingerprint import Fingerprint, fingerprint
from missrec.data.manifest import MANIFEST
from missrec.data.splits import AnySplitter
from missrec.data.statistics import DomainStatistics, domain_statistics
from missrec.features.given import GivenFeatures, put_features
from missrec.features.images.naming import IMAGES
from missrec.features.inputs import OK
from missrec.features.store import FEATURES, write_features
from missrec.features.vectors import Vectors
from missrec.files import recover_folder, replace_folder, sha256
from missrec.report.formats.preparation import print_splits, print_statistics, print_steps
from missrec.runs.locks import only_writer


def prepare(cfg: DictConfig) -> list[DomainStatistics]:
    """Makes every domain folder of `cfg.data`; prints its row of the paper's Table 1.

    A folder takes its place only when it is whole. An existing one is replaced.
    """
    config = plain(cfg)
    data = read_data(config)
    return prepare_data(read_paths(config), data, features=read_features_of_one(config, data))


def read_features_of_one(config: Config, data: DataSettings) -> dict[str, Vectors]:
    """Modality -> the vectors made elsewhere that a command names.

    Raises:
        FileNotFoundError, ValueError: a file is missing or wrong, or the data has several domains.
    """
    given: GivenFeatures = instantiate(config["features"], _partial_=True, _convert_="all")()
    if given.files and len(data.folders) > 1:
        raise ValueError(
            f"features.files is of one domain, and data={data.choice} has {len(data.folders)}; "
            "give each its own"
        )
    return given.read()


def prepare_data(
    paths: Paths, data: DataSettings, *, features: Mapping[str, Vectors] | None = None
) -> list[DomainStatistics]:
    """`prepare`, of settings that have been read.

    Args:
        paths: of the project.
        data: what to make.
        features: modality -> vectors that were made elsewhere, of the one domain.

    Raises:
        ValueError: the data is not made of anything, or a folder that it would replace holds
            something else than a domain.
    """
    if not data.sources:
        raise ValueError(f"data={data.choice} is of folders that are prepared: nothing is to make")
    for described in data.sources.values():
        _check_replaceable(paths.data_dir / described["name"])
    splitters = known_splitters(paths.root_dir)
    statistics, fingerprints = [], {}
    for described in data.sources.values():
        source: DomainSource = instantiate(described, _convert_="all")
        prepared = source.read()
        fingerprints[prepared.name] = fingerprint(prepared, splitters)
        row = domain_statistics(prepared)
        folder = paths.data_dir / described["name"]
        if prepared.pictures:
            _write_pictures(paths.data_dir / IMAGES / prepared.name, prepared)
        num_with = _write(folder, prepared, row, fingerprints[prepared.name], features or {})
        statistics.append(row._replace(num_with={**row.num_with, **num_with}))
        print_steps(prepared.name, prepared.steps)
    print_statistics(statistics)
    print_splits({name: found.splits for name, found in fingerprints.items()}, list(splitters))
    return statistics


def _check_replaceable(folder: Path) -> None:
    """Refuses a folder of somebody's own; a domain's, also a broken one, is made anew."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and not names & {MANIFEST, INTERACTIONS, ITEMS, USERS}:
        raise ValueError(
            f"{folder} holds {min(names)} and no domain, and would be replaced; choose another "
            "data.name, or move what is there"
        )


def known_splitters(root_dir: Path) -> dict[str, AnySplitter]:
    """The splits of `conf/split/` that need nothing but the data, as they stand there, by name."""
    return {name: instantiate(described) for name, described in described_splits(root_dir).items()}


def described_splits(root_dir: Path) -> dict[str, dict[str, Any]]:
    """The splits of `conf/split/` by name that stand alone.

    Not those that wait for somebody to name a file, and not those made of another split.
    """
    paths = sorted((conf_dir(root_dir) / "split").glob("*.yaml"))
    files = [path for path in paths if path.stem != "none"]  # nothing held out is no split to know
    found: dict[str, Any] = {
        path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in files
    }
    return {
        name: content
        for name, content in found.items()
        if None not in content.values() and "defaults" not in content
    }


def prepare_missing(paths: Paths, data: DataSettings) -> None:
    """Makes the folders that are not there yet, where the data says it may.

    The embedded demo is made on first use, once: of the jobs that start at the same time one makes
    it, and the others wait. Real data is prepared by the user's own command.

    Raises:
        FileNotFoundError: a folder is missing that the user has to make.
        ValueError: a folder that the user names is no domain, or not what the data makes.
    """
    if not data.sources:
        for folder in data.folders:
            check_prepared(folder)
        return
    made = absolute_folders([str(paths.data_dir / one["name"]) for one in data.sources.values()])
    for folder in data.folders:
        if str(folder) not in made:
            choice = folders_choice(list(map(str, data.folders)))
            raise ValueError(f"data={data.choice} does not make {told(folder)}; say data={choice}")
    missing = _missing(paths, data)
    if not missing:
        return
    if not data.made_on_first_use:
        raise FileNotFoundError(
            f"{missing[0]} is missing; {nearest(missing[0])}make it with "
            f"`python src/prepare.py data={data.choice}`"
        )
    with only_writer(paths.data_dir, waits=True):
        if _missing(paths, data):
            prepare_data(paths, data)


def _missing(paths: Paths, data: DataSettings) -> list[Path]:
    folders = [paths.data_dir / source["name"] for source in data.sources.values()]
    for folder in folders:
        recover_folder(folder)
    return [folder for folder in folders if not folder.exists()]


def _write(
    folder: Path,
    prepared: PreparedDomain,
    statistics: DomainStatistics,
    found: Fingerprint,
    features: Mapping[str, Vectors],
) -> dict[str, int]:
    """Writes a domain folder; returns how many items have features that were made elsewhere."""
    facts = {
        "tie_share": statistics.tie_share,
        "leak_rate": statistics.leak_rate,
        "fingerprint": found._asdict(),
    }
    with replace_folder(folder) as draft:
        write_domain(draft, prepared, facts=facts)
        if not prepared.features and _extracted_for(draft / ITEMS, folder / FEATURES):
            shutil.copytree(folder / FEATURES, draft / FEATURES)
        else:
            write_features(draft, prepared.features, settings=prepared.settings)
        return {
            modality: put_features(draft, modality, vectors, name=prepared.name)[OK]
            for modality, vectors in features.items()
        }


def _write_pictures(folder: Path, prepared: PreparedDomain) -> None:
    """Files named by the items' keys, as `images=folder` takes them; others stay.

    They come before the domain, so that whoever finds one finds the other. Nothing depends on
    them, and they are not flushed.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for key in prepared.item_keys:
            path = folder / f"{key}.png"
            if key in prepared.pictures:
                path.write_bytes(prepared.pictures[key])
            else:
                path.unlink(missing_ok=True)
    except OSError:  # such as a full disk; what was there before is made again by who tries again
        if folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # somebody else's files are there
            for place in made[1:]:
                place.rmdir()
        raise


def _extracted_for(items: Path, features: Path) -> bool:
    """Whether features that lie there already, made by hours of extraction, are of these items."""
    try:
        manifest = json.loads((features / MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest["items_sha256"] == sha256(items))
    except (OSError, ValueError, KeyError, TypeError):
        return False
