"""A run ready for a trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn
from torch.optim import Optimizer

from missrec.app.model import build, build_model, constructor
from missrec.app.settings import RunSettings
from missrec.data.datamodule import SequenceDataModule
from missrec.runs.identity import Identity
from missrec.training.module import RecommenderModule
from missrec.training.row_adam import RowAdam, learn_rows
from missrec.types import Catalogue, SaysWhichPrefixes


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
    model, catalogue, identity = build_model(run, datamodule.domains)
    metrics = run.config["metrics"]
    module = RecommenderModule(
        model=model,
        optimizer=constructor(run.config, "optimizer"),
        spans=datamodule.domains.spans,
        cutoffs=run.cutoffs,
        filter_seen=metrics["filter_seen"],
        users_per_tile=metrics["users_per_tile"],
        items_per_tile=metrics["items_per_tile"],
        identity=identity,
    )
    if isinstance(_optimizer(module), RowAdam):
        _check_rows(run)
        learn_rows(model, num_items=catalogue.num_items)
    if run.config["datamodule"].get("together"):
        _check_together(model)
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


def _check_together(model: nn.Module) -> None:
    """Refuses to read all prefixes of a sequence in one pass where the model cannot."""
    reason: str | None = "this model does not say that it can"
    if isinstance(model, SaysWhichPrefixes):
        parts = [part for part in model.modules() if isinstance(part, SaysWhichPrefixes)]
        reason = next(filter(None, (part.each_prefix_alone for part in parts)), None)
    elif not any(True for _ in model.parameters()):
        reason = "this model learns nothing"
    if reason is not None:
        raise ValueError(
            f"samples=prefixes_together reads the prefixes of a user in one pass: {reason}; take "
            "samples=prefixes"
        )


def _check_rows(run: RunSettings) -> None:
    """Refuses what does not take sparse gradients."""
    if run.config["trainer"].get("gradient_clip_val"):
        raise ValueError(
            "optimizer=row_adam takes no trainer.gradient_clip_val: it would need all rows of the "
            "id tables; take optimizer=adam"
        )


def _optimizer(module: RecommenderModule) -> Optimizer | None:
    """Calls the optimizer once: its partial hides a mistake until it is called."""
    try:
        return module.configure_optimizers() if module.learns else None
    except TypeError as error:
        raise ValueError(f"optimizer: {error}; see conf/optimizer/") from error
