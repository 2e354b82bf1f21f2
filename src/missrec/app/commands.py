"""The commands: what each runs once its config, `conf/<name>.yaml`, is composed.

The doors in `src/` and the installed command start them from here. What is heavy is imported only
when a command runs, so that `--help` and config mistakes answer at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from missrec.app.command_line.domain_folders import told
from missrec.app.command_line.door import run_door
from missrec.app.command_line.imports import heavy_imports
from missrec.app.command_line.remedies import no_run
from missrec.app.next_steps import say_evaluated, say_extracted, say_prepared

_log = logging.getLogger(__name__)


class Command(NamedTuple):
    """A command.

    Attributes:
        run: called with the composed config.
        rewrite: turns the arguments of the command line into those that Hydra shall see.
        sweeps: whether `-m` tries several values, one after the other.
    """

    run: Callable[[DictConfig], object]
    rewrite: Callable[[list[str]], list[str]] = list
    sweeps: bool = False


def run_command(name: str) -> None:
    """Runs a command with the arguments of the command line, see `run_door`."""
    command = COMMANDS[name]
    run_door(name, command.run, rewrite=command.rewrite, sweeps=command.sweeps)


def _prepare(cfg: DictConfig) -> None:
    """Makes the folders of `cfg.data`; or says what one is, or writes it as released files."""
    _check_folders(cfg)
    if cfg.export is cfg.verify is None:
        _log.info("prepares %s; into %s", cfg.data.name, told(cfg.paths.data_dir))
    with heavy_imports():
        from missrec.app.folders import export, verify
        from missrec.app.prepare import prepare

    if cfg.export is not None:
        export(Path(cfg.export), to=cfg.to)
    elif cfg.verify is not None:
        verify(Path(cfg.verify), root_dir=Path(cfg.paths.root_dir))
    else:
        prepare(cfg)
        say_prepared(cfg)


def _check_folders(cfg: DictConfig) -> None:
    """Refuses `verify=`, `export=` and `to=` that do not go together, or name no folder."""
    if cfg.verify is not None and cfg.export is not None:
        raise ValueError("verify= and export= are two commands; leave one of them out")
    if cfg.to is not None and cfg.export is None:
        raise ValueError(f"to ({cfg.to}) is where export= writes; add export=<a domain folder>")
    for key in ("verify", "export"):
        folder = cfg[key]
        if folder is not None and not (folder and Path(str(folder)).is_dir()):
            raise FileNotFoundError(
                f"{key} ({folder}) is no folder; name one that prepare.py made, such as "
                f"{key}={cfg.paths.data_dir}/<domain>"
            )


def _extract(cfg: DictConfig) -> None:
    """Fetches and encodes what is missing in the domains of `cfg.data`."""
    accelerator = cfg.trainer.accelerator
    _log.info("encodes the items of %s; on accelerator=%s", cfg.data.name, accelerator)
    with heavy_imports():
        from missrec.app.extract import extract

    done = extract(cfg)
    say_extracted(cfg, {modality for of_domain in done.values() for modality in of_domain})


def _train(cfg: DictConfig) -> None:
    """Trains, chooses on validation, tests once; in a multirun what has not finished."""
    from missrec.app.session import read_train
    from missrec.app.sweep import run_job

    # hydra/launcher=gpus sets it; a default in train.yaml would override that.
    claims_gpu = bool(cfg.get("claim_gpu", False))
    run_job(
        partial(read_train, cfg),
        run_dir=Path(cfg.run_dir),
        claims_gpu=claims_gpu,
        debug=bool(cfg.debug),
    )


def _train_arguments(arguments: list[str]) -> list[str]:
    from missrec.app.command_line.arguments import fast_arguments, resume_arguments
    from missrec.app.command_line.grammar import parsable_arguments
    from missrec.app.sweep import sweep_arguments

    return sweep_arguments(parsable_arguments(resume_arguments(fast_arguments(arguments))))


def _check_run(cfg: DictConfig) -> None:
    """Refuses a run that is not there, before what would read it is imported."""
    if isinstance(cfg.run, str) and not (cfg.run and Path(cfg.run).exists()):
        raise FileNotFoundError(no_run("run", f"'{cfg.run}' is no folder"))


def _evaluate(cfg: DictConfig) -> None:
    """Ranks the test users again into `<run>/evaluation/`, or compares two systems."""
    if cfg.against is None:
        _check_run(cfg)
        _log.info("ranks the test users of %s; on accelerator=%s", cfg.run, cfg.accelerator)
    else:
        _log.info("compares %s with %s", cfg.run, cfg.against)
    with heavy_imports():
        from missrec.app.compare import compare
        from missrec.app.evaluate import evaluate, read_settings

    if cfg.against is None:
        evaluate(cfg)
        say_evaluated(cfg.run)
    else:
        compare(read_settings(cfg))


def _tune(cfg: DictConfig) -> None:
    """Searches on validation alone; goes on with a search that stopped."""
    from hydra.core.hydra_config import HydraConfig

    if cfg.workers:  # one that another has started says nothing of its own
        _log.info(
            "searches %s for the best %s, in up to %s trials; into %s",
            ", ".join(cfg.search.space) or "nothing",
            cfg.search.metric,
            cfg.search.num_trials,
            told(cfg.search.dir),
        )
    with heavy_imports():
        from missrec.app.tune import tune

    tune(cfg, overrides=list(HydraConfig.get().overrides.task))


def _report(cfg: DictConfig) -> None:
    """Writes `cfg.output_dir`: one page, Markdown, LaTeX, CSV, figures; or the page of one run."""
    if cfg.run is not None:
        _check_run(cfg)
        with heavy_imports():
            from missrec.app.report import ship

        ship(cfg)
        return
    _log.info("collects the runs of %s; into %s", cfg.runs, told(cfg.output_dir))
    with heavy_imports():
        from missrec.app.report import report

    report(cfg)


def _dashboard(cfg: DictConfig) -> None:
    """Saves a view for pre-training, transfer and ablations each, and prints their addresses."""
    _log.info("saves the views of %s in W&B; needs a login", cfg.project)
    with heavy_imports():
        from missrec.app.dashboard import save_dashboard

    for name, address in save_dashboard(cfg).items():
        print(f"{name}: {address}")  # noqa: T201


def _recommend(cfg: DictConfig) -> None:
    """Writes the items for all users, some, or histories from a file."""
    _check_run(cfg)
    place = "the terminal" if cfg.out is None else cfg.out
    _log.info("recommends by %s; on accelerator=%s; into %s", cfg.run, cfg.accelerator, place)
    with heavy_imports():
        from missrec.app.recommend import recommend
        from missrec.app.recommend_settings import read_settings

    recommend(read_settings(cfg))


def _recommend_arguments(arguments: list[str]) -> list[str]:
    from missrec.app.command_line.arguments import named_lists

    return named_lists(arguments)


def _serve(cfg: DictConfig) -> None:
    """Answers over HTTP until it is told to stop."""
    _check_run(cfg)
    # Not into the log, whose lines are JSON.
    print(f"serves {cfg.run}; on http://{cfg.host}:{cfg.port}", flush=True)  # noqa: T201
    with heavy_imports():
        from missrec.app.serve import read_settings, serve

    serve(read_settings(cfg))


def _export(cfg: DictConfig) -> None:
    """Writes `cfg.to`, and pushes it to `cfg.push`."""
    _check_run(cfg)
    _log.info("exports %s into %s", cfg.run, cfg.to or cfg.push)
    with heavy_imports():
        from missrec.app.export import export

    export(cfg)


COMMANDS = {
    "prepare": Command(_prepare),
    "extract": Command(_extract),
    "train": Command(_train, _train_arguments, sweeps=True),
    "evaluate": Command(_evaluate),
    "tune": Command(_tune, sweeps=True),
    "report": Command(_report),
    "dashboard": Command(_dashboard),
    "recommend": Command(_recommend, _recommend_arguments),
    "serve": Command(_serve),
    "export": Command(_export),
}
"""In the order in which a user meets them."""
