"""`changed_data=refuse|accept`: whether a command goes on with data that has changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.utils import instantiate

from missrec.app.settings import RunSettings
from missrec.data.manifest import MANIFEST
from missrec.data.splits import AnySplitter
from missrec.features.store import FEATURES
from missrec.runs.folder import RunFolder
from missrec.runs.groups import Group
from missrec.runs.identity import (
    Identity,
    accepted_changes,
    check_same,
    identity_in,
    identity_of_folders,
    other_items,
    recorded_identity,
)
from missrec.training.checkpoints import read_checkpoint

if TYPE_CHECKING:
    from missrec.search.study import SharedStudy

_ACCEPT = "changed_data=accept"
_REMEDY = f"prepare the data as it was, or go on with {_ACCEPT}"
_REMEDY_OF_ITEMS = (
    "prepare the data as it was, take the items as they are now with new_items=features, or go on "
    f"with {_ACCEPT}"
)


def check_run(
    run: RunFolder, found: Identity, *, accept: bool, takes_new_items: bool = True
) -> list[str]:
    """What has changed under a run that is to be resumed or evaluated, earlier changes first.

    Args:
        run: with its old `provenance.json`.
        found: the data at hand.
        accept: whether the command says to go on.
        takes_new_items: whether it has `new_items=`.

    Raises:
        ChangedDataError: the data has changed, and that is not accepted.
    """
    recorded = recorded_identity(run)
    are_others = takes_new_items and recorded and other_items(recorded, found)
    remedy = _REMEDY_OF_ITEMS if are_others else _REMEDY
    changed = check_same(recorded, found, name=str(run.path), accept=accept, remedy=remedy)
    return list(dict.fromkeys([*accepted_changes(run), *changed]))


def check_data(
    run: RunSettings, found: Identity, *, moved: Sequence[str] | None = None
) -> list[str]:
    """What has changed under a run that trains: since it was begun, and since its last stage.

    Args:
        run: its settings.
        found: the data at hand.
        moved: what has changed of data that the run is moved to; None where it must be the same.

    Raises:
        ChangedDataError: the data has changed, and that is not accepted.
        ValueError: the checkpoint of the stage is damaged.
    """
    folder, accept = RunFolder(run.run_dir), run.accepts_changed_data
    changed = check_run(folder, found, accept=accept) if run.resume and moved is None else []
    changed += [*(accepted_changes(folder) if run.resume else []), *(moved or [])]
    if run.stages and run.stages[-1].same_data and (source := run.stages[-1].checkpoint):
        changed += check_stage(source, found, accept=accept)
    return list(dict.fromkeys(changed))


def check_stage(checkpoint: Path, found: Identity, *, accept: bool) -> list[str]:
    """What sets the data of a stage apart from that of the run that it says it shares it with.

    Args:
        checkpoint: of the stage.
        found: the run's data.
        accept: whether the command says to go on.

    Raises:
        ValueError: the checkpoint is damaged.
        ChangedDataError: the data has changed, and that is not accepted.
    """
    recorded = identity_in(read_checkpoint(checkpoint, mmap=True))
    remedy = f"train it again on this data, or go on with {_ACCEPT}"
    return check_same(recorded, found, name=str(checkpoint), accept=accept, remedy=remedy)


def check_sides(ours: Group, theirs: Group, *, accept: bool) -> list[str]:
    """How the data of two systems that are compared differs.

    Raises:
        ChangedDataError: it does, and that is not accepted.
    """
    remedy = f"train both on the same, or compare all the same with {_ACCEPT}"
    known, other = (theirs, ours.data) if ours.data is not None else (ours, {})
    name = known.runs[0].name
    return check_same(known.data, other or {}, name=name, accept=accept, remedy=remedy)


def check_finished(run: RunSettings, *, accept: bool) -> None:
    """Refuses a run that had finished on other data than a repeated command has.

    Where there is no data at hand, there is no other.

    Args:
        run: as the command asks for it.
        accept: whether the command says to go on.

    Raises:
        ChangedDataError: the data has changed, and that is not accepted.
        ValueError: the data is broken.
    """
    folder = RunFolder(run.run_dir)
    if all(place.is_dir() for place in run.data.folders):
        recorded = recorded_identity(folder)
        found = {} if recorded is None else identity_at_hand(run)  # which takes its time
        remedy = f"prepare the data as it was, delete the folder, or go on with {_ACCEPT}"
        check_same(recorded, found, name=str(folder.path), accept=accept, remedy=remedy)


def check_study(study: SharedStudy, found: Identity, *, accept: bool) -> None:
    """Refuses a study whose trials so far were made on other data than is at hand.

    Args:
        study: of the trials.
        found: the data at hand.
        accept: whether the command says to go on.

    Raises:
        ChangedDataError: the data has changed, and that is not accepted.
    """
    remedy = f"prepare the data as it was, name a new study, or go on with {_ACCEPT}"
    study.check_data(found, accept=accept, remedy=remedy)


def identity_at_hand(run: RunSettings) -> Identity:
    """The identity of the data in a run's domain folders; those that many jobs share are read once.

    Raises:
        FileNotFoundError, ValueError: a folder is missing or broken.
    """
    places = [place for folder in run.data.folders for place in (folder, folder / FEATURES)]
    manifests = [path.read_bytes() for place in places if (path := place / MANIFEST).is_file()]
    folders = list(map(str, run.data.folders))
    described = json.dumps([folders, run.config["datamodule"]["split"], run.modalities])
    return _identity_at_hand(described, tuple(manifests))


@lru_cache(maxsize=16)
def _identity_at_hand(described: str, manifests: tuple[bytes, ...]) -> Identity:
    """Of what lies there now: with other manifests it is something else."""
    folders, split, modalities = json.loads(described)
    splitter: AnySplitter = instantiate(split, _convert_="all")
    return identity_of_folders([Path(f) for f in folders], splitter, modalities=modalities)
