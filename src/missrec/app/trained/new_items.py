"""`new_items=refuse|features`: whether a run's model goes to a catalogue that has changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from missrec.data.split_domains import SplitDomains
from missrec.features.table import FeatureTable
from missrec.retrieval.new_items import ItemMap, TakenOver, map_items, take_over
from missrec.runs.folder import RunFolder
from missrec.runs.identity import (
    ChangedDataError,
    Identity,
    changes,
    other_encoders,
    recorded_identity,
)
from missrec.runs.items import UnknownItemsError, keys_of_folders, recorded_items
from missrec.training.checkpoints import model_state

if TYPE_CHECKING:
    from missrec.app.build import Experiment

_log = logging.getLogger(__name__)


class Moving(NamedTuple):
    """That the items of a run can be known again in today's folders.

    Attributes:
        items: where today's items were.
        changed: in which ways the data is other than that of the run.
    """

    items: ItemMap
    changed: list[str]


def find_items(
    run: RunFolder, names: Sequence[str], folders: Sequence[Path], found: Identity, *, accept: bool
) -> Moving:
    """Where the items of today's folders were when a run was made.

    Args:
        run: the run.
        names: of today's domains.
        folders: of each.
        found: their identity.
        accept: whether features of another encoder are let pass, with a warning.

    Raises:
        UnknownItemsError: the run does not know its items by their keys.
        ChangedDataError: the features at hand are of another encoder than the run's.
    """
    recorded = recorded_identity(run)
    today = keys_of_folders(names, folders)
    try:
        before = recorded_items(run, recorded, today=today)
    except UnknownItemsError as error:
        raise UnknownItemsError(
            f"{error}; put the folder back as it was and run `python src/evaluate.py "
            f"run={run.path}` once, which records them"
        ) from error
    if recorded and (others := other_encoders(recorded, found)):
        said = (
            f"{run.path}: the features are of another encoder than the run's: {'; '.join(others)}"
        )
        if not accept:
            raise ChangedDataError(
                f"{said}; encode them by the run's, an LSA with encoder.fitted={run.path}, or go "
                "on with changed_data=accept"
            )
        _log.warning("%s, which is accepted", said)
    return Moving(map_items(before, today), changes(recorded, found) if recorded else [])


def bring_in(
    model: nn.Module,
    state: Mapping[str, Tensor],
    items: ItemMap,
    features: FeatureTable,
    *,
    predict_ids: bool,
    trains: bool = False,
) -> TakenOver:
    """`take_over`, and a line of the log that says what came of it.

    Raises:
        ValueError: the model knows none of the items; or see `take_over`.
    """
    taken = take_over(
        model, state, items=items, features=features, predict_ids=predict_ids, trains=trains
    )
    if not taken.recommendable.any():
        raise ValueError(
            f"{type(model).__name__} knows none of the items of today: none was in the catalogue "
            "it was trained on, and their features are not what it scores by"
        )
    unknown = taken.num_unknown
    _log.log(
        logging.WARNING if unknown else logging.INFO,
        "items: %s known, %s new, %s gone%s",
        f"{len(items.known):,}",
        f"{len(items.new):,}",
        f"{items.num_removed:,}",
        f"; {type(model).__name__} knows nothing of {unknown:,} new ones (it scores by ids alone, "
        "or they have no feature): they are never recommended"
        if unknown
        else "",
    )
    return taken


def domain_places(domains: SplitDomains) -> tuple[list[str], list[Path]]:
    """Names and folders of the domains that are open."""
    return [span.name for span in domains.spans], domains.folders


def bring_in_run(
    checkpoint: Path,
    experiment: Experiment,
    *,
    predict_ids: bool,
    accept: bool,
) -> None:
    """Fills the model of a run with what another one has learnt, item by item.

    Args:
        checkpoint: in the folder of the other run.
        experiment: of the run; its model is changed in place.
        predict_ids: see `take_over`.
        accept: see `find_items`.

    Raises:
        ValueError: see `find_items` and `bring_in`, or the checkpoint is damaged.
    """
    places = domain_places(experiment.datamodule.domains)
    folder = RunFolder(checkpoint.parent.parent)
    moving = find_items(folder, *places, experiment.identity, accept=accept)
    bring_in(
        experiment.module.model,
        model_state(checkpoint),
        moving.items,
        experiment.catalogue.features,
        predict_ids=predict_ids,
        trains=True,
    )
