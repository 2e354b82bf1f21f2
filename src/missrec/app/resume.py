"""A run folder that holds a run already: gone on with, replaced, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from missrec.app.command_line.project import checkout, conf_dir
from missrec.app.session import occupied
from missrec.app.settings import Config, RunSettings, read_run
from missrec.app.stages import starting_point
from missrec.app.trained.moved_run import MovedRun
from missrec.app.trained.new_items import domain_places
from missrec.app.trained.same_data import check_data
from missrec.runs.checkpoints import restore_best, resumable, rewrite_checkpoints
from missrec.runs.folder import RunFolder
from missrec.runs.identity import provenance_facts
from missrec.runs.items import keys_of_folders, record_items
from missrec.runs.marks import read_marks
from missrec.runs.provenance import provenance
from missrec.runs.settings import (
    Difference,
    changed_settings,
    described,
    is_below,
    source_of,
)
from missrec.training.checkpoints import read_checkpoint

if TYPE_CHECKING:
    import polars as pl
    from torch import nn

    from missrec.app.build import Experiment

_STARTED = "it has begun from another one"
_METRIC = "the best so far is of another metric"
_SPLIT = "it would learn what it had held out"
_BATCHES = "the epoch has begun with other batches"

FIXED = {
    "pretrained": _STARTED,
    "stages": _STARTED,
    "stage_overrides": _STARTED,
    "seed": "the random numbers go on from the checkpoint",
    "datamodule.seed": "the order of the samples goes on from the checkpoint",
    "model._target_": "the checkpoint is of another model",
    "optimizer._target_": "the checkpoint holds the state of another optimiser",
    "freeze": "the checkpoint's optimiser trains other parameters",
    "split": _SPLIT,
    "datamodule.split": _SPLIT,
    "callbacks.early_stopping.monitor": _METRIC,
    "callbacks.early_stopping.mode": _METRIC,
    "callbacks.checkpoint.monitor": _METRIC,
    "callbacks.checkpoint.mode": _METRIC,
}
"""Settings that a resumed run cannot change, and why: a checkpoint holds what they made."""
_LIMIT = "trainer.max_epochs"

FIXED_INSIDE_AN_EPOCH = {
    "samples": _BATCHES,
    "datamodule.batch_size": _BATCHES,
    "datamodule.max_seq_len": _BATCHES,
    "datamodule.mixing_exponent": _BATCHES,
    "datamodule.pool_batches": _BATCHES,
    "datamodule.prefixes": _BATCHES,
    "datamodule.repeats": _BATCHES,
    "trainer.accumulate_grad_batches": _BATCHES,
    "trainer.limit_train_batches": _BATCHES,
}
"""And those that it can change between two epochs."""


class RunExistsError(ValueError):
    """The folder of a new run holds one already."""


class Earlier(NamedTuple):
    """The run that a folder holds.

    Attributes:
        config: as it was saved.
        changes: what the command sets otherwise, of the settings that can change a result.
        finished: whether it has ended.
        provenance: where it came from, as it was recorded.
    """

    config: Config
    changes: list[Difference]
    finished: bool
    provenance: dict[str, Any]


def earlier_run(run: RunSettings) -> Earlier | None:
    """The run that goes on; None of a new one, also where it replaces another.

    Raises:
        RunExistsError: the folder holds a run, and it is not said what is to become of it.
        ValueError: the saved config cannot be read, or a setting is changed that cannot be.
    """
    folder = RunFolder(run.run_dir)
    if run.resume and run.overwrite:
        raise ValueError("overwrite: a resume goes on with the run; leave one of the two out")
    if not folder.holds_run or run.overwrite:
        return None
    if not run.resume:
        raise RunExistsError(occupied(folder))
    if not folder.config.is_file():
        return None  # ended before it had begun
    saved = folder.read_config()
    marks = read_marks(conf_dir(run.paths.root_dir))
    changes = changed_settings(saved, run.config, marks=marks)
    if folder.checkpoints.is_dir():
        _check_changes(changes, FIXED, run.run_dir)
    return Earlier(saved, changes, folder.metrics.is_file(), folder.read_provenance())


def with_its_stages(run: RunSettings, earlier: Earlier | None) -> RunSettings:
    """A run that goes on, with the checkpoints that its stages had left: nothing trains twice."""
    if earlier is None:
        return run
    source = source_of(earlier.config)
    if source is None or not source.exists():
        return run
    kept = {key: earlier.config[key] for key in ("stages", "pretrained")}
    return read_run({**run.config, **kept})._replace(resume=run.resume)


class Start(NamedTuple):
    """What a run starts with.

    Attributes:
        facts: of its data, for `provenance.json`.
        keys: of its items, by domain.
        checkpoint: that it goes on from; None of a new one.
        moved: what brings its checkpoints to other items; None where they must be the same.
    """

    facts: dict[str, Any]
    keys: dict[str, pl.Series]
    checkpoint: Path | None
    moved: MovedRun | None


def find_start(run: RunSettings, earlier: Earlier | None, experiment: Experiment) -> Start:
    """What a run starts with, all of it checked.

    Args:
        run: its settings.
        earlier: the run that goes on.
        experiment: of the run.

    Raises:
        ChangedDataError: the data has changed, and that is not accepted.
        ValueError: no checkpoint can be gone on from, or not with these settings.
    """
    moved = None
    if run.resume and run.new_items is not None:
        moved = MovedRun(run, experiment, predict_ids=run.new_items.predict_ids)
    changed = check_data(run, experiment.identity, moved=None if moved is None else moved.changed)
    checkpoint = _checkpoint_to_go_on_from(run, earlier, experiment.module, moved)
    return Start(
        facts=provenance_facts(experiment.identity, accepted=changed),
        keys=keys_of_folders(*domain_places(experiment.datamodule.domains)),
        checkpoint=checkpoint,
        moved=moved,
    )


def _checkpoint_to_go_on_from(
    run: RunSettings, earlier: Earlier | None, module: nn.Module, moved: MovedRun | None
) -> Path | None:
    """The checkpoint that training goes on from, which fits; None where it starts.

    Raises:
        ValueError: no checkpoint can be gone on from, or not with these settings.
    """
    source = resumable(run.run_dir) if run.resume else None
    if source is None:
        if earlier is not None and earlier.finished and "tested" in earlier.provenance:
            raise ValueError(f"{run.run_dir} has ended, and no checkpoint of it is left")
        return None
    content = read_checkpoint(source, needed=("state_dict", "loops"), mmap=True)
    progress = content["loops"]["fit_loop"]["epoch_progress"]["current"]
    inside = progress["processed"] != progress["ready"]
    changes = earlier.changes if earlier else []
    if inside:
        _check_changes(changes, FIXED_INSIDE_AN_EPOCH, run.run_dir)
        if moved is not None and moved.changes_items:
            raise ValueError(
                f"{source} is inside an epoch, which has begun with other items; start a new run "
                f"from the weights: pretrained={run.run_dir} new_items=features"
            )
    if changes:
        limit = run.config["trainer"]["max_epochs"]
        _check_trains(changes, done=progress["processed"], limit=limit)
    state = content["state_dict"] if moved is None else moved.moved(content)["state_dict"]
    _check_fits(state, module, source)
    return source


def begin(run: RunSettings, earlier: Earlier | None, start: Start) -> None:
    """Records what runs; the first thing that is written into the folder.

    Args:
        run: its settings.
        earlier: the run that goes on.
        start: what it starts with.
    """
    folder = RunFolder(run.run_dir)
    made = {**provenance(checkout(), started_from=starting_point(run)), **start.facts}
    if earlier is None:
        if run.overwrite and folder.holds_run:
            folder.clear()
        record_items(folder, start.keys)
        folder.write_provenance(made)
    else:
        if start.moved is not None:  # first: killed meanwhile, it is done for those that are left
            rewrite_checkpoints(run.run_dir, start.moved.moved)
        record_items(folder, start.keys)
        folder.metrics.unlink(missing_ok=True)  # those of the shorter run
        before = dict(earlier.provenance)
        entry = {
            "at": datetime.now().astimezone().isoformat(timespec="seconds"),
            "git": made["git"],
            "from": start.checkpoint.name if start.checkpoint else None,
            "changed": {one.key: [_value(one.there), _value(one.here)] for one in earlier.changes},
        }
        before.pop("tested", None)
        resumed = [*before.get("resumed", []), entry]
        folder.write_provenance({**made, **before, **start.facts, "resumed": resumed})
        if start.checkpoint is not None:
            restore_best(run.run_dir, start.checkpoint)
    folder.write_config(run.config)


def _check_changes(changes: Sequence[Difference], fixed: Mapping[str, str], run_dir: Path) -> None:
    for change in changes:
        for key, why in fixed.items():
            if is_below(change.key, (key,)):
                raise ValueError(
                    f"{change}: a resumed run keeps it, since {why}; leave it out, or start a new "
                    f"run from the weights: pretrained={run_dir}"
                )


def _check_trains(changes: Sequence[Difference], *, done: int, limit: int | None) -> None:
    """Refuses changes with which nothing would train, but for where a run is to end: here."""
    is_to_end = done == limit and all(one.key == _LIMIT for one in changes)
    if limit in (None, -1) or done < limit or is_to_end:
        return
    raise ValueError(
        f"the run has {done} epochs behind it, and {_LIMIT} is {limit}: nothing would train with "
        f"{described(changes)}; raise it, or leave them out; {_LIMIT}={done} alone ends the run"
    )


def _check_fits(state: Mapping[str, Any], module: nn.Module, source: Path) -> None:
    with suppress(RuntimeError):
        module.load_state_dict(state)  # what of it has no fixed number of entries, it says itself
        return
    ours = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in state.items()}
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            raise ValueError(
                f"{source} does not fit the model of these settings: {name} is "
                f"{theirs.get(name, 'absent')} there, {ours.get(name, 'absent')} here; resume "
                "with the settings of the model that the run has"
            )


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
