"""What a run starts from: a run that is named, or stages that train before it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from missrec.app.build import Experiment, build_experiment
from missrec.app.command_line.grammar import quoted
from missrec.app.command_line.invocation import as_started
from missrec.app.command_line.project import conf_dir
from missrec.app.preflight import check_training
from missrec.app.prepare import prepare_missing
from missrec.app.session import compose_train, continued, plain
from missrec.app.settings import RunSettings, Stage, read_run
from missrec.app.trained.exported import refuse_exported
from missrec.app.trained.new_items import bring_in_run
from missrec.app.trained.same_data import check_finished
from missrec.distributed import is_first_process
from missrec.report.formats.terminal import print_transfer
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.owner import writing
from missrec.training.checkpoints import model_state
from missrec.training.transfer import (
    Fate,
    TransferredTensor,
    by_component,
    count_parameters,
    freeze_all_but,
    load_pretrained,
)
from missrec.types import Transferable

_log = logging.getLogger(__name__)

_SYSTEM = ("model", "inputs", "ablation", "split", "seed")
"""Settings of a command that its stages take over: what the system is."""

_MACHINE = ("logger", "paths", "trainer=", "trainer.accelerator", "trainer.devices",
            "trainer.num_nodes")  # fmt: skip
"""And where it runs; with =, the choice."""

_SAME_DATA = ("data", "split", "inputs", "model")
"""Groups whose choice a stage on the run's data takes over, also where an experiment made it."""


def train_stages(
    run: RunSettings, train: Callable[[RunSettings], object], *, record: str
) -> RunSettings:
    """The run with the checkpoint of each of its stages, trained where it has not been.

    Each stage starts from the one before. That the last one will fit the run is known before any
    of them trains.

    Args:
        run: with its stages.
        train: does the training of a stage.
        record: the file in the folder of a stage that says it is done.

    Raises:
        FileNotFoundError: there is no checkpoint where the run names one.
        ValueError: a stage would not fit, or would read other data.
    """
    for stage in run.stages[1:]:  # a mistake in a later one is known before the first trains
        if stage.checkpoint is None:
            stage_settings(run, stage, source=None)
    done: list[Stage] = []
    for stage in run.stages:
        source = done[-1].checkpoint if done else None
        done.append(stage if stage.checkpoint else _trained(run, stage, train, source, record))
    described = [
        {**described, "checkpoint": str(stage.checkpoint)}
        for described, stage in zip(run.config["stages"], done, strict=True)
    ]
    return run._replace(stages=tuple(done), config={**run.config, "stages": described})


def _trained(
    run: RunSettings,
    stage: Stage,
    train: Callable[[RunSettings], object],
    source: Path | None,
    record: str,
) -> Stage:
    settings = stage_settings(run, stage, source=source)
    # Of the jobs that run at the same time, one trains it and the others wait; the processes of one
    # job train it together.
    with writing(settings.run_dir, waits=True):
        if (settings.run_dir / record).is_file():
            check_finished(settings, accept=run.accepts_changed_data)
        else:
            check_fits(run, settings, same_data=stage.same_data)
            train(continued(settings)._replace(accepts_changed_data=run.accepts_changed_data))
    # Beside the run, so that both can be moved together.
    beside = run.run_dir / ".." / settings.run_dir.name
    return stage._replace(checkpoint=chosen_checkpoint(beside))


def starting_point(run: RunSettings) -> Path | None:
    """The checkpoint that a run starts from: of its last stage, or of the run that it names.

    Raises:
        FileNotFoundError: there is no such thing.
    """
    if run.stages:
        return run.stages[-1].checkpoint
    return None if run.pretrained is None else pretrained_checkpoint(run.pretrained)


def stage_settings(run: RunSettings, stage: Stage, *, source: Path | None) -> RunSettings:
    """The settings of a stage, in a folder beside the run.

    It takes over from the command what the system is and where it runs, on the same data also the
    data, and each setting that the model's own settings refer to. The folder is named by all its
    settings, or is one that has the same: jobs of a sweep that need the same stage share it.

    Args:
        run: that starts from it.
        stage: one of its stages.
        source: the checkpoint of the stage before.

    Raises:
        ValueError: the data would be other than the run's, though it is said to be the same.
    """
    root_dir = run.paths.root_dir
    overrides = [*_taken_over(root_dir, stage), f"experiment={stage.experiment}"]
    overrides += [f"names.experiment={stage.experiment}", f"names.model={run.model}"]
    overrides += [f"seed={'null' if run.seed is None else run.seed}", *stage.overrides]
    if stage.same_data and (source or run.pretrained):
        overrides.append(f"pretrained={quoted(source or str(run.pretrained))}")

    def composed(run_dir: Path | str) -> RunSettings:
        return read_run(plain(compose_train(root_dir, [*overrides, f"run_dir={quoted(run_dir)}"])))

    settings = composed(".")
    try:
        check_training(settings)
    except ValueError as error:
        raise ValueError(f"the stage {stage.experiment}: {error}") from error
    if stage.same_data:
        _check_same_data(run, settings, stage)
    key = json.dumps(settings.config, sort_keys=True, default=str)
    name = f"{stage.experiment}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    _log.info(as_started("a stage before: python src/train.py %s"), " ".join(overrides))
    return composed(run.run_dir.parent / name)


def check_fits(run: RunSettings, stage: RunSettings, *, same_data: bool) -> None:
    """Builds the models of both, which takes seconds, rather than fail after the stage has trained.

    Raises:
        ValueError: what the stage will have learnt does not fit the run.
    """
    if is_first_process():
        for settings in (stage, run):
            prepare_missing(settings.paths, settings.data)
    learnt = build_experiment(stage).module.model.state_dict()
    load_pretrained(build_experiment(run).module.model, learnt, same_domain=same_data)


def start_from(checkpoint: Path, run: RunSettings, experiment: Experiment) -> None:
    """Loads the weights of a pre-trained run, freezes them, and shows what became of each.

    What belongs to the items of a domain stays behind, but of a stage on the run's own data, and
    where the run takes over items: then it is loaded item by item, and trains as what is fresh.

    Args:
        checkpoint: of the pre-trained run.
        run: its settings; names that still train, and with them what was not loaded; nothing trains
            where there is no name, everything where it is None.
        experiment: of the run; its model is changed in place.

    Raises:
        ValueError: the file is damaged, or its model does not fit.
    """
    model, trainable = experiment.module.model, run.trainable
    same_domain = bool(run.stages) and run.stages[-1].same_data
    takes_items = run.new_items is not None and not run.resume and not run.stages
    transferred: list[TransferredTensor] = []
    # A model of ids alone takes nothing but those; resumed, it has them from its own checkpoint.
    if same_domain or isinstance(model, Transferable) or not (takes_items or run.resume):
        transferred = load_pretrained(model, model_state(checkpoint), same_domain=same_domain)
    if trainable is not None:
        fresh = [tensor.name for tensor in transferred if tensor.fate is Fate.FRESH]
        freeze_all_but(model, [*trainable, *fresh] if trainable else [])
    if takes_items and run.new_items is not None:
        predict_ids, accept = run.new_items.predict_ids, run.accepts_changed_data
        bring_in_run(checkpoint, experiment, predict_ids=predict_ids, accept=accept)
        transferred = load_pretrained(model, dict(model.state_dict()), same_domain=True)
    if is_first_process():
        print_transfer(
            str(checkpoint), by_component(transferred), trainable=count_parameters(model)
        )


def pretrained_checkpoint(pretrained: str) -> Path:
    """The checkpoint that `pretrained=` names: a run folder or a file.

    Raises:
        FileNotFoundError: there is no such thing.
        ValueError: it is an exported model.
    """
    path = Path(pretrained)
    refuse_exported(path, name="pretrained")
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path} is neither a run folder nor a checkpoint; pretrained= names a run of "
            "experiment=pretrain, such as pretrained=logs/pretrain/<run>"
        )
    return chosen_checkpoint(path)


def _taken_over(root_dir: Path, stage: Stage) -> list[str]:
    """The overrides of the command that are a stage's too."""
    if not HydraConfig.initialized():
        return []
    hydra = HydraConfig.get()
    given = list(hydra.overrides.task)
    names = [*_SYSTEM, *_MACHINE, *(_SAME_DATA if stage.same_data else ())]
    own = {*_SYSTEM, "data", "stages", *_chosen_by(root_dir, stage.experiment)}
    names += [name for name in _referred_to(root_dir, given) if name.partition(".")[0] not in own]
    if any(override.startswith("split=") for override in stage.overrides):
        # Settings of the run's split, such as its files, would be none of the stage's own.
        given = [override for override in given if not _is_named(override, ["split"])]
    taken = [override for override in given if _is_named(override, names)]
    named = {override.partition("=")[0] for override in taken}
    # What an experiment chose is as good as what the command says.
    groups = _SAME_DATA if stage.same_data else ("model",)
    missing = [group for group in groups if group not in named]
    return [*taken, *(f"{group}={hydra.runtime.choices[group]}" for group in missing)]


def _referred_to(root_dir: Path, overrides: Sequence[str]) -> list[str]:
    """The settings elsewhere that those of the model are made of, such as its longest history."""
    model = OmegaConf.to_container(compose_train(root_dir, overrides).model, resolve=False)
    return sorted(set(re.findall(r"\$\{([a-z_][\w.]*)\}", json.dumps(model, default=str))))


def _chosen_by(root_dir: Path, experiment: str) -> Iterator[str]:
    """The groups whose choice an experiment makes itself."""
    folder = conf_dir(root_dir) / "experiment"
    path = folder / f"{experiment}.yaml"
    if not path.is_file():
        return
    content: Any = OmegaConf.to_container(OmegaConf.load(path))
    for entry in content.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            yield from _chosen_by(root_dir, entry.removeprefix("/experiment/"))
        elif entry != "_self_":
            yield from (str(key).removeprefix("override ").lstrip("/") for key in entry)


def _is_named(override: str, names: Sequence[str]) -> bool:
    """Whether an override sets one of these, something below it, or the group that it is of."""
    key, separator, _ = override.lstrip("+~").partition("=")
    return any(
        name in {key, key + separator}
        or key.startswith((f"{name}.", f"{name}/"))
        or name.startswith(f"{key}.")
        for name in names
    )


def _check_same_data(run: RunSettings, settings: RunSettings, stage: Stage) -> None:
    """Refuses a stage that might learn from what the run holds out."""
    for group in ("data", "split"):
        if settings.config[group] != run.config[group]:
            raise ValueError(
                f"the stage {stage.experiment} would read other data than this run: it does not "
                f"know all settings of `{group}`; put those of an experiment file on the command "
                "line"
            )
