"""`python src/evaluate.py`: what a run's checkpoint does, user group by user group."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning import Trainer

from missrec.app.build import Experiment, build_experiment
from missrec.app.doubts import warn_of_parts
from missrec.app.final_fit import holds_nothing_out
from missrec.app.fitting import computing
from missrec.app.lists import MeasuredLists, measure_lists
from missrec.app.preflight import check_shown
from missrec.app.session import plain
from missrec.app.settings import NewItems, accepts, read_lists, read_new_items
from missrec.app.trained.new_items import bring_in, domain_places, find_items
from missrec.app.trained.same_data import check_run
from missrec.app.trained.saved_run import read_saved_run
from missrec.features.checks import check_truths
from missrec.files import write_json
from missrec.metrics.buckets import check_edges, popularity_buckets
from missrec.report.figures.buckets import popularity_figure
from missrec.report.formats.terminal import (
    print_buckets,
    print_list_metrics,
    print_metrics,
    split_metrics,
)
from missrec.retrieval.known_items import KnownItems
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.runs.identity import ACCEPTED, recorded_identity
from missrec.runs.items import keys_of_folders, record_items
from missrec.runs.lists import EVALUATED_LISTS, save_lists
from missrec.runs.owner import writing
from missrec.runs.ranks import recorded_ranks, save_ranks, with_ties_in_expectation
from missrec.training.checkpoints import model_state
from missrec.training.saving import WholeCheckpoints
from missrec.training.silence import quiet_lightning

_ROUNDING = 1e-6
"""Up to this share, figures of the same ranks may differ."""

_log = logging.getLogger(__name__)


class EvaluateSettings(NamedTuple):
    """The settings of the command.

    Attributes:
        run: the run, or the seeds of a system to compare.
        against: the seeds of the other system; None to evaluate one run.
        data_dir: where the domain folders are.
        trust: whether the run may name code that is none of this project's.
        accelerator: to rank on.
        shown: metrics on the terminal.
        bucket_edges: of the popularity of targets.
        lists: what is measured of lists, where it is not what the run's settings say; None else.
        metrics: to compare.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        output_dir: for `comparison.json`.
        root_dir: of the project.
        accepts_changed_data: whether to go on with other data than a run was made on.
        new_items: how a run takes to other items than it was made on; None: it does not.
    """

    run: str | list[str]
    against: str | list[str] | None
    data_dir: Path
    trust: bool
    accelerator: str
    shown: list[str]
    bucket_edges: list[int]
    lists: dict[str, Any]
    metrics: list[str]
    num_resamples: int
    seed: int
    output_dir: Path
    root_dir: Path
    accepts_changed_data: bool
    new_items: NewItems | None


def read_settings(cfg: DictConfig) -> EvaluateSettings:
    """The settings of the command.

    Raises:
        ValueError: `trust` is neither true nor false, where any text would count as true; a metric
            is shown that there is not, or buckets do not rise.
    """
    config = plain(cfg)
    check_truths(trust=config["trust"])
    check_shown("shown", config["shown"])
    check_edges("bucket_edges", config["bucket_edges"])
    own = {name: config[name] for name in EvaluateSettings._fields if name in config}
    places = {
        "data_dir": Path(config["paths"]["data_dir"]),
        "output_dir": Path(config["output_dir"]),
        "root_dir": Path(config["paths"]["root_dir"]),
    }
    allowed = {
        "accepts_changed_data": accepts(config["changed_data"]),
        "new_items": read_new_items(config),
    }
    return EvaluateSettings(**{**own, **places, **allowed})


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Ranks the users of a run's test split with its best checkpoint.

    Prints the metrics, those of the recommended lists and the buckets of the paper's Figure 4, and
    writes `metrics.json`, `popularity_<domain>.png`, `ranks_<domain>.parquet` and
    `lists_<domain>.parquet` into `evaluation/` of the run folder. What the run itself recorded is
    left as it is; a warning says where it differs.

    Returns:
        What `evaluation/metrics.json` holds.

    Raises:
        FileNotFoundError: no such run, or it has no checkpoint.
        ValueError: several runs are named, the data is not what the run was made on, or the
            checkpoint does not fit the run's config and data.
    """
    settings = read_settings(cfg)
    if not isinstance(settings.run, str):
        raise ValueError("run: name one run folder; to compare several, add against=")
    quiet_lightning()
    folder = RunFolder(Path(settings.run))
    run = read_saved_run(folder, data_dir=settings.data_dir, trust=settings.trust)
    own = {name: value for name, value in settings.lists.items() if value is not None}
    run = run._replace(lists=read_lists({**run.lists._asdict(), **own}))
    if holds_nothing_out(run.config):
        source = run.config.get("epochs_from")
        instead = f"that its epochs are from: run={source}" if isinstance(source, str) else "before"
        raise ValueError(
            f"{folder.path} is trained on everything (split=none), so nothing is left to test on; "
            f"evaluate the run {instead}"
        )
    experiment = build_experiment(run)
    warn_of_parts(experiment, run, names=["test"])
    changed = _same_items(folder, experiment, settings)
    try:
        trainer = Trainer(
            accelerator=settings.accelerator,
            devices=1,
            precision=run.config["trainer"]["precision"],
            logger=False,
            deterministic=True,
            enable_checkpointing=False,
            enable_model_summary=False,
            plugins=[WholeCheckpoints()],
            default_root_dir=str(folder.path),
        )
    except (MisconfigurationException, ModuleNotFoundError) as error:  # such as a lacking GPU
        raise ValueError(f"accelerator ({settings.accelerator}): {error}") from error
    is_to_load = experiment.module.learns and settings.new_items is None
    checkpoint = chosen_checkpoint(folder.path) if is_to_load else None
    with computing(run):
        _rank(experiment, trainer, checkpoint=checkpoint)
        lists = measure_lists(run, experiment, device=trainer.strategy.root_device)
    metrics = {**experiment.module.metrics, **lists.metrics}
    if settings.new_items is None:
        _say_differences(folder, experiment.module.metrics)
    print_metrics(run.name, {"test": split_metrics(metrics, "test")}, settings.shown)
    print_list_metrics(run.name, split_metrics(metrics, "test"))
    report = {
        "metrics": metrics,
        "buckets": {},
        EVALUATED_LISTS: run.lists._asdict(),
        ACCEPTED: changed,
    }
    return _write(report, experiment, lists, folder.evaluation, settings, cutoffs=run.cutoffs)


def _same_items(folder: RunFolder, experiment: Experiment, settings: EvaluateSettings) -> list[str]:
    """Checks that the data is what a run was made on, or brings its model to the items of today.

    Returns:
        What has changed, and is accepted.
    """
    accept = settings.accepts_changed_data
    names_and_folders = domain_places(experiment.datamodule.domains)
    if settings.new_items is None:
        changed = check_run(folder, experiment.identity, accept=accept)
        is_known = recorded_identity(folder) is not None and not changed
        if is_known and not folder.items.is_file():
            record_items(folder, keys_of_folders(*names_and_folders))  # a run of before
        return changed
    moving = find_items(folder, *names_and_folders, experiment.identity, accept=accept)
    module = experiment.module
    if module.learns:
        taken = bring_in(
            module.model,
            model_state(chosen_checkpoint(folder.path)),
            moving.items,
            experiment.catalogue.features,
            predict_ids=settings.new_items.predict_ids,
        )
        if taken.num_unknown:
            module.model = KnownItems(module.model, taken.recommendable)
    return moving.changed


def _write(
    report: dict[str, Any],
    experiment: Experiment,
    lists: MeasuredLists,
    folder: Path,
    settings: EvaluateSettings,
    *,
    cutoffs: list[int],
) -> dict[str, Any]:
    """Adds the buckets to what is reported, and writes it."""
    spans, ranks = experiment.datamodule.domains.spans, experiment.module.target_ranks
    with writing(folder, waits=True):
        for span, users, own in zip(spans, ranks, lists.by_domain, strict=False):
            save_lists(folder / f"lists_{span.name}.parquet", users.user_ids, own)
        for span, users in zip(spans, ranks, strict=True):
            buckets = popularity_buckets(
                users,
                experiment.catalogue.train_counts,
                edges=settings.bucket_edges,
                cutoffs=cutoffs,
            )
            print_buckets(span.name, buckets, settings.shown)
            popularity_figure(folder / f"popularity_{span.name}.png", buckets, title=span.name)
            save_ranks(folder / f"ranks_{span.name}.parquet", span, users)
            report["buckets"][span.name] = [bucket.as_row() for bucket in buckets]
        write_json(folder / "metrics.json", report)
    return report


def _rank(experiment: Experiment, trainer: Trainer, *, checkpoint: Path | None) -> None:
    try:
        trainer.test(
            experiment.module,
            datamodule=experiment.datamodule,
            ckpt_path=checkpoint,
            weights_only=True,
            verbose=False,
        )
    except RuntimeError as error:
        if checkpoint is None or not _is_load_error(error):
            raise
        raise ValueError(
            f"{checkpoint} cannot be loaded: {error}; the file is damaged, or the run's config or "
            "data has changed since; to other items it goes with new_items=features"
        ) from error


def _say_differences(folder: RunFolder, found: Mapping[str, float]) -> None:
    """Warns of figures that are not those of the run's own `metrics.json`, where it has one."""
    try:
        recorded = json.loads(folder.metrics.read_text(encoding="utf-8"))
        recorded = with_ties_in_expectation(recorded, recorded_ranks(folder.path))
        both = {key: float(recorded[key]) for key in found if key in recorded}
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("%s cannot be read: %s", folder.metrics, error)
        return
    other = [
        key
        for key, value in both.items()
        if not math.isclose(value, found[key], rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    ]
    if other:
        _log.warning(
            "%s of %s figures are not those of %s, such as %s: %.6g, not %.6g",
            len(other),
            len(both),
            folder.metrics,
            other[0],
            found[other[0]],
            both[other[0]],
        )


def _is_load_error(error: RuntimeError) -> bool:
    return "state_dict" in str(error) or "PytorchStreamReader" in str(error)
