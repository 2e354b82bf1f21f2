"""A run that is resumed on a catalogue that has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from missrec.app.build import Experiment
from missrec.app.settings import RunSettings
from missrec.app.trained.new_items import bring_in, domain_places, find_items
from missrec.retrieval.new_items import item_rows
from missrec.runs.folder import RunFolder
from missrec.runs.identity import DATA, identity_in
from missrec.training.checkpoints import MODEL_PREFIX


class MovedRun:
    """A run that goes on with the items of today: each of its checkpoints is brought to them.

    Attributes:
        changed: in which ways the data is other than it was.
    """

    def __init__(self, run: RunSettings, experiment: Experiment, *, predict_ids: bool) -> None:
        """Finds where the items were; nothing is written.

        Args:
            run: its settings.
            experiment: of the run, on today's data; its model is changed by `moved`.
            predict_ids: see `take_over`.

        Raises:
            ValueError: see `find_items`.
        """
        self._items, self.changed = find_items(
            RunFolder(run.run_dir),
            *domain_places(experiment.datamodule.domains),
            experiment.identity,
            accept=run.accepts_changed_data,
        )
        self._experiment = experiment
        self._predict_ids = predict_ids

    @property
    def changes_items(self) -> bool:
        """Whether the items are other ones, or numbered otherwise."""
        return not self._items.is_same

    def moved(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """A checkpoint's content for the items of today; as it is where it is of these already.

        The optimiser's numbers of known items stay, those of new ones are zero.

        Raises:
            ValueError: see `bring_in`.
        """
        module = self._experiment.module
        if identity_in(content) == self._experiment.identity or not self.changes_items:
            return dict(content)
        state = {
            name.removeprefix(MODEL_PREFIX): value for name, value in content["state_dict"].items()
        }
        features = self._experiment.catalogue.features
        bring_in(
            module.model,
            state,
            self._items,
            features,
            predict_ids=self._predict_ids,
            trains=True,
        )
        learnt = {name: value.clone() for name, value in module.state_dict().items()}
        moved = {**content, "state_dict": learnt, DATA: dict(self._experiment.identity)}
        if "optimizer_states" in content:
            moved["optimizer_states"] = [
                self._optimizer(one) for one in content["optimizer_states"]
            ]
        return moved

    def _optimizer(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The state of the optimiser: of each parameter that trains, in their order."""
        module = self._experiment.module
        trained = [(name, own) for name, own in module.named_parameters() if own.requires_grad]
        dims = {name: rows.dim for name, rows in item_rows(module)}
        moved = {}
        for index, entry in state["state"].items():
            name, own = trained[index]
            moved[index] = {
                key: self._items.moved(value, dim=dims[name], start=torch.zeros_like(own))
                if name in dims and isinstance(value, Tensor) and value.ndim
                else value
                for key, value in entry.items()
            }
        return {**state, "state": moved}
