"""What domain folders say of themselves: Table 1, known sets, and how popular items were."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from missrec.data.domain import read_domain, read_keys
from missrec.data.manifest import MANIFEST
from missrec.data.splits import AnySplitter, LeaveOneOut, seen_in_training, with_keys
from missrec.features.store import FEATURES
from missrec.report.contents import Statistics
from missrec.report.paper import Dataset, Paper
from missrec.runs.folder import placed_today
from missrec.runs.groups import Run
from missrec.runs.identity import changes, identity_of_folders


def table_1(paper: Paper, *, data_dir: Path) -> list[Statistics]:
    """The statistics of each data set's folder, from its manifest, where there is one."""
    found = {name: _statistics(dataset, data_dir) for name, dataset in paper.datasets.items()}
    rows = []
    for name, dataset in paper.datasets.items():
        parts = [found[part][0] for part in dataset.sum_of]
        if parts and all(parts):
            rows.append(Statistics(dataset, _sum(parts), f"sum of {', '.join(dataset.sum_of)}"))
        elif dataset.published:
            rows.append(Statistics(dataset, *found[name]))
    return rows


def _statistics(dataset: Dataset, data_dir: Path) -> tuple[dict[str, float], str]:
    for data, choice in dataset.choices.items():
        if figures := _counts(data_dir / data):
            return figures, f"data={choice}"
    choices = list(dataset.choices.values())
    return {}, f"python src/prepare.py data={choices[0]}" if choices else "nothing here makes it"


def _counts(folder: Path) -> dict[str, float]:
    """The figures of Table 1 from the manifests of a folder; empty without one."""
    manifest = _read_json(folder / MANIFEST)
    try:
        figures = {key: float(manifest["counts"][key]) for key in ("users", "items")}
        figures["interactions"] = float(manifest["counts"]["interactions"])
    except (KeyError, TypeError, ValueError):
        return {}
    figures["length"] = figures["interactions"] / max(1, figures["users"])
    features = _read_json(folder / FEATURES / MANIFEST)
    images = _mapping(_mapping(features, "counts"), "image").get("items")
    if isinstance(images, int):  # no features yet, or none of images
        figures["images"] = images
    return figures


def counts_notes(runs: Iterable[Run], *, data_dir: Path) -> dict[str, list[str]]:
    """Name of data -> how much of it there is, of runs on one domain whose folder is there."""
    notes: dict[str, list[str]] = {}
    for run in runs:
        if run.setup.data not in notes and len(run.ranks) == 1:
            found = _counts(_folder(run, next(iter(run.ranks)), data_dir))
            if found:
                images = found.get("images")
                pictures = "" if images is None else f", {images:,.0f} of them with a picture"
                notes[run.setup.data] = [
                    f"{found['users']:,.0f} users, {found['items']:,.0f} items{pictures}; "
                    f"{found['interactions']:,.0f} interactions, {found['length']:.1f} a user."
                ]
    return notes


def _sum(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    keys = [key for key in parts[0] if all(key in part for part in parts)]
    total = {key: sum(part[key] for part in parts) for key in keys}
    return {**total, "length": total["interactions"] / max(1, total["users"])}


def data_notes(
    paper: Paper, *, data_dir: Path, known_domains: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Name of data -> what sets its folder apart from the known set that it should be.

    Args:
        paper: names the data and their known sets.
        data_dir: holds the domain folders.
        known_domains: what `conf/known_domains.yaml` holds.
    """
    notes = {}
    for dataset in paper.datasets.values():
        if dataset.known is None:
            continue
        what, facts = (known_domains[dataset.known][key] for key in ("what", "facts"))
        for data in dataset.choices:
            found = dict(_manifest_facts(data_dir / data))
            differing = [fact for fact, value in found.items() if facts.get(fact, value) != value]
            if differing:
                notes[data] = [f"data/{data} is not {what}; other: {', '.join(differing)}."]
    return notes


def _manifest_facts(folder: Path) -> Iterator[tuple[str, Any]]:
    """The facts of `conf/known_domains.yaml` that the manifests of a folder hold."""
    manifest, features = _read_json(folder / MANIFEST), _read_json(folder / FEATURES / MANIFEST)
    yield from _mapping(manifest, "counts").items()
    fingerprint = _mapping(manifest, "fingerprint")
    if "interactions" in fingerprint:
        yield "who took what", fingerprint["interactions"]
    for name, digest in _mapping(fingerprint, "splits").items():
        yield f"split {name}", digest
    for name, entry in _mapping(features, "files").items():
        if isinstance(entry, Mapping):
            yield f"features {name.removesuffix('.npy')}", entry.get("sha256")


class KnownSplit(NamedTuple):
    """A split that a run may have been made with, and the settings by which the run names it."""

    settings: Mapping[str, str]
    splitter: AnySplitter


class DataToday:
    """The domain folders as they are now; each is read once."""

    def __init__(self, *, data_dir: Path, splits: Sequence[KnownSplit]) -> None:
        """Keeps where they lie, and the splits there are: nothing that a run names is called."""
        self._data_dir = data_dir
        self._splits = splits
        self._read: dict[tuple[str, ...], Mapping[str, Any]] = {}

    def changes(self, run: Run) -> list[str]:
        """How what a run was made on differs from the folders that are there."""
        found = []
        for domain, recorded in (run.data or {}).items():
            if _folder(run, domain, self._data_dir).is_dir():
                try:
                    today = self._identity(run, domain, list(recorded["features"]))
                except (OSError, ValueError) as error:
                    found.append(f"{domain}: {error}")
                else:
                    found += changes({domain: recorded}, today)
        return found

    def _identity(self, run: Run, domain: str, modalities: Sequence[str]) -> Mapping[str, Any]:
        folder = _folder(run, domain, self._data_dir)
        key = (str(folder), json.dumps(_split_settings(run), sort_keys=True), *modalities)
        if key not in self._read:
            splitter = _splitter(run, self._splits)
            self._read[key] = identity_of_folders([folder], splitter, modalities=modalities)
        return self._read[key]


def train_counts(
    run: Run, ranks: pl.DataFrame, *, data_dir: Path, splits: Sequence[KnownSplit]
) -> Tensor:
    """(N + 1,) int64 training occurrences of the items that a run ranked.

    Args:
        run: on one domain.
        ranks: of the run, by rising user.
        data_dir: holds the domain folder.
        splits: those there are; nothing that a run's own config names is called.

    Raises:
        FileNotFoundError: the domain folder is missing.
        ValueError: the folder is broken or not the one that the run ranked, or the run's split is
            none of `splits`.
    """
    splitter = _splitter(run, splits)
    folder = _folder(run, next(iter(run.ranks)), data_dir)
    domain = read_domain(folder, with_times=splitter.needs_times)
    first_users = np.array([0, domain.num_users])
    able = with_keys(splitter, lambda: read_keys([folder], domain.items))
    split = able(offsets=domain.offsets, times=domain.times, first_users=first_users)
    users = np.searchsorted(domain.offsets, split.test, side="right") - 1
    targets = pl.DataFrame({"user_id": users, "target_id": domain.items[split.test]})
    recorded = ranks.select(pl.col("user_id", "target_id").cast(pl.Int64))
    if not recorded.equals(targets.cast(pl.Int64)):
        raise ValueError(f"{folder} is no longer what {run.name} ranked")
    items = domain.items[seen_in_training(domain.offsets, split.train_ends)]
    return torch.from_numpy(np.bincount(items, minlength=domain.num_items + 1))


def _folder(run: Run, domain: str, data_dir: Path) -> Path:
    return placed_today(run.places.get(domain, Path(domain)), data_dir)


def _splitter(run: Run, splits: Sequence[KnownSplit]) -> AnySplitter:
    own = _split_settings(run)
    if not own:  # from before there was a choice
        return LeaveOneOut()
    for split in splits:
        if split.settings == own:
            return split.splitter
    raise ValueError(f"the split of {run.name} is none of conf/split")


def _split_settings(run: Run) -> dict[str, str]:
    prefix = "datamodule.split."
    return {key: value for key, value in run.settings.items() if key.startswith(prefix)}


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = content.get(key)
    return found if isinstance(found, Mapping) else {}


def _read_json(path: Path) -> Mapping[str, Any]:
    """The content of a manifest; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
